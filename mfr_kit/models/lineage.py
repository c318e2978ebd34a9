"""What a model descends from: its training sets, its teacher and its initial weights. Tracks decide by it who may enter.

A lineage is a plain dict, written as it is into `lineage.json`, ONNX metadata and submission manifests::

    {"training_sets": [{"name", "fingerprint", "faces", "people"}],
     "teacher": {"name", "sha256", "trained_on": [...]} | None,
     "initial_weights": {"name", "sha256", "trained_on": [...]} | None,
     "masks": {...}, "kit_version": "..."}

A model from elsewhere (an asset) says only {"trained_on": [...]}.
"""

UNKNOWN = "unknown: the model file does not say"


def trained_on(lineage: dict | None) -> list[str]:
    """List every data set that left a trace in a model, its own first, then its teacher's and its initial weights'.

    A model without a lineage gives one entry that says so: what is not known is never taken for clean.
    """
    if not lineage:
        return [UNKNOWN]
    sources = list(lineage.get("trained_on", []))
    sources += [entry["name"] for entry in lineage.get("training_sets", [])]
    for parent in ("teacher", "initial_weights"):
        if lineage.get(parent):
            sources += lineage[parent]["trained_on"]
    return list(dict.fromkeys(sources)) or [UNKNOWN]


def ancestor(name: str, sha256: str, lineage: dict | None) -> dict:
    """Describe a teacher or the initial weights the way a lineage stores them."""
    return {"name": name, "sha256": sha256, "trained_on": trained_on(lineage)}
