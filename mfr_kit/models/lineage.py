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

from typing import Any

from mfr_kit.errors import KitError
from mfr_kit.records import mismatch, parse_json

UNKNOWN = "unknown: the model file does not say"
_ANCESTOR = {"name": str, "sha256": str, "trained_on": [str]}
_TRAINING_SET = {"name": str, "fingerprint?": str, "faces?": int, "people?": int}
SHAPE: dict[str, Any] = {
    "trained_on?": [str],
    "training_sets?": [_TRAINING_SET],
    "teacher?": (_ANCESTOR, None),
    "initial_weights?": (_ANCESTOR, None),
    "masks?": dict,
    "kit_version?": str,
}


def parse(text: str) -> dict:
    """Read a lineage as it stands in metadata.

    Raises:
        ValueError: it is no JSON object, or a part has another type; in one line.
    """
    try:
        found = parse_json(text, "the lineage", "export the model again")
    except KitError as error:
        raise ValueError(str(error)) from None
    other = mismatch(found, SHAPE)
    if other:
        raise ValueError(other)
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
