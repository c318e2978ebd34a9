"""What a model descends from: its training sets, its teacher and its initial weights. Tracks decide
by it who may enter.

A lineage is a plain dict, written as it is into `lineage.json`, ONNX metadata and submission
manifests::

    {"training_sets": [{"name", "fingerprint", "faces", "people"}],
     "teacher": {"name", "sha256", "trained_on": [...]} | None,
     "initial_weights": {"name", "sha256", "trained_on": [...]} | None,
     "masks": {...}, "kit_version": "..."}

A model from elsewhere (an asset) says only {"trained_on": [...]}.
"""

import json

UNKNOWN = "unknown: the model file does not say"


def parse(text: str) -> dict:
    """Read a lineage as it stands in a file or in metadata, and check every part of it that the kit
    looks at.

    Raises:
        ValueError: it is no JSON object, or a part has another type; in one line.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"a JSON object is wanted, found {type(found).__name__}")
    _check_names(found, "trained_on")
    sets = found.get("training_sets", [])
    if not isinstance(sets, list) or not all(isinstance(entry, dict) for entry in sets):
        raise ValueError("'training_sets' is not a list of objects")
    for entry in sets:
        if not isinstance(entry.get("name"), str):
            raise ValueError("an entry of 'training_sets' has no 'name' of text")
        people = entry.get("people", 0)
        if isinstance(people, bool) or not isinstance(people, int):
            raise ValueError("'people' of a training set is not a whole number")
    for parent in ("teacher", "initial_weights"):
        entry = found.get(parent)
        if entry is None:
            continue
        if not isinstance(entry, dict) or not isinstance(entry.get("name", ""), str):
            raise ValueError(f"'{parent}' is not an object with a 'name' of text")
        _check_names(entry, "trained_on")
    return found


def trained_on(lineage: dict | None) -> list[str]:
    """List every data set that left a trace in a model, its own first, then its teacher's and its
    initial weights'.

    A model without a lineage gives one entry that says so: what is not known is never taken for
    clean.
    """
    if not lineage:
        return [UNKNOWN]
    sources = list(lineage.get("trained_on", []))
    sources += [entry["name"] for entry in lineage.get("training_sets", [])]
    for parent in ("teacher", "initial_weights"):
        if lineage.get(parent):
            sources += lineage[parent].get("trained_on", [UNKNOWN])
    return list(dict.fromkeys(sources)) or [UNKNOWN]


def ancestor(name: str, sha256: str, lineage: dict | None) -> dict:
    """Describe a teacher or the initial weights the way a lineage stores them."""
    return {"name": name, "sha256": sha256, "trained_on": trained_on(lineage)}


def _check_names(entry: dict, key: str) -> None:
    names = entry.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"'{key}' is not a list of names")
