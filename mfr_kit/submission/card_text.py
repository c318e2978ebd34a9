"""A model card in words (Markdown), from the metadata of an ONNX file alone."""

from typing import Any

from mfr_kit import assets
from mfr_kit.models import lineage, preprocess
from mfr_kit.models.onnx_models.onnx_file import printable
from mfr_kit.models.operating_points import META_CARD, OperatingPoint, parse
from mfr_kit.records import check, parse_json

ADVICE = "export the model again"
SHAPE = {"network": dict, "alignment": dict, "limits": [str]}


def describe(metadata: dict[str, str], name: str) -> str:
    """Write what a file says of itself; what it does not say is said to be unknown.

    Args:
        metadata: of the file.
        name: of the file, the title.
    Raises:
        KitError: its operating points, card or lineage are damaged.
    """
    points = parse(metadata, name)
    card = _card(metadata, name)
    parts = [
        [f"# {printable(name)}", ""],
        _network(metadata, card),
        ["## Operating points", "", *_points(points)],
        ["## Input", "", *_input(metadata, card)],
        ["## What it descends from", "", *_lineage(metadata, name)],
        ["## Limits", "", *[f"- {printable(line)}" for line in card["limits"] or [_UNMEASURED]]],
    ]
    return "\n\n".join("\n".join(part).rstrip() for part in parts) + "\n"


_UNMEASURED = "Nothing was measured: `kit.py export-onnx --report` writes what was."


def _card(metadata: dict[str, str], name: str) -> dict[str, Any]:
    text = metadata.get(META_CARD)
    if text is None:
        return {"network": {}, "alignment": {}, "limits": []}
    where = f"{name}: metadata {META_CARD}"
    return check(parse_json(text, where, ADVICE), SHAPE, where, ADVICE)


def _network(metadata: dict[str, str], card: dict) -> list[str]:
    network = card["network"]
    rows = [
        ("backbone", network.get("backbone")),
        ("width", network.get("width")),
        ("parameters", network.get("parameters")),
        ("trained by", network.get("method")),
        ("embedding", metadata.get(preprocess.META_EMBEDDING_SIZE)),
        ("weights (sha256)", metadata.get(preprocess.META_FINGERPRINT)),
        ("edge file", metadata.get(preprocess.META_EDGE)),
        ("MFR Kit", metadata.get(preprocess.META_VERSION)),
    ]
    known = [(key, value) for key, value in rows if value is not None]
    return _table(["", ""], [[key, _cell(value)] for key, value in known] or [["", "unknown"]])


def _points(points: list[OperatingPoint]) -> list[str]:
    if not points:
        return ["None: the file carries no threshold."]
    first = points[0]
    rows = [
        [
            point.protocol,
            _far(point),
            f"{point.threshold:.4f}",
            f"{100 * point.tar:.2f}",
            "-" if point.low is None else f"{100 * point.low:.2f} to {100 * (point.high or 0):.2f}",
            _cell(point.false_accepts),
            _cell(point.genuine),
            _cell(point.impostor),
        ]
        for point in points
    ]
    head = ["comparison", "FAR", "threshold", "TAR %", "95 % interval", "false accepts"]
    of = "embedding plus its mirror image's, of both faces," if first.mirrored else "embeddings"
    return [
        f"Two faces count as one person where the cosine of their {of} is at least the threshold; "
        f"measured on the set {printable(first.set_name)}. `fixed-threshold`: masked probes at "
        "the threshold of bare faces; the second rate is what they make of it.",
        "",
        *_table([*head, "genuine", "impostor"], rows),
    ]


def _far(point: OperatingPoint) -> str:
    measured = "" if point.far_measured is None else f", {point.far_measured:.3g}"
    return f"{point.far:g}{measured}"


def _input(metadata: dict[str, str], card: dict) -> list[str]:
    how = card["alignment"]
    lines = [
        f"- 112x112 faces aligned to ArcFace's template, "
        f"{metadata.get(preprocess.META_NORMALISATION, 'normalisation unknown')}."
    ]
    if how:
        text = ", ".join(f"{printable(key)}: {printable(how[key])}" for key in sorted(how))
        lines.append(f"- The faces measured were aligned with {text}.")
    return lines


def _lineage(metadata: dict[str, str], name: str) -> list[str]:
    text = metadata.get(preprocess.META_LINEAGE)
    try:
        record = lineage.parse(text) if text else {}
    except ValueError as error:
        return [f"- It cannot be read: {printable(error)}."]
    lines = [
        f"- Training set {printable(entry['name'])}: {_cell(entry.get('faces', 'unknown'))} faces "
        f"of {_cell(entry.get('people', 'unknown'))} people."
        for entry in record.get("training_sets", [])
    ]
    for part in ("teacher", "initial_weights"):
        if record.get(part):
            text = "; ".join(printable(item) for item in record[part]["trained_on"])
            title = part.replace("_", " ").capitalize()
            lines.append(f"- {title} {printable(record[part]['name'])}, trained on {text}.")
    masks = record.get("masks", {})
    if isinstance(masks.get("ratio"), int | float):
        lines.append(f"- Masks drawn on {100 * masks['ratio']:g} % of the training views.")
    sets = lines or ["- Unknown: the file does not say."]
    return [*sets, *(f"- Terms: {printable(note)}." for note in licences(record))]


def licences(record: dict | None) -> list[str]:
    """Say under whose terms a model stands, as far as the kit knows.

    Args:
        record: its lineage.
    """
    notes = ["MFR Kit: Apache-2.0"]
    for part in ("teacher", "initial_weights"):
        name = ((record or {}).get(part) or {}).get("name")
        if name:
            known = assets.ASSETS[name].licence if name in assets.ASSETS else "not known to the kit"
            notes.append(f"{part.replace('_', ' ')} {name}: {known}")
    sets = (record or {}).get("training_sets", [])
    return notes + [
        f"training set {entry['name']}: its own terms, which the kit does not know"
        for entry in sets
    ]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _cell(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) else printable(value)
    return text.replace("|", "\\|")
