"""The model card of an exported file: what it is, the thresholds it was measured to have, what it
descends from, and what nobody knows of it.

Thresholds and card stand in the file's own metadata (`mfr_kit.operating_points`, `mfr_kit.card`);
`MODEL_CARD.md` beside it says the same in words. People, photographs and paths are not named.
"""

import json
import sys
from pathlib import Path
from typing import Any

from mfr_kit import __version__, files, registry
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation.compare import PROTOCOLS
from mfr_kit.evaluation.result import SCHEMA
from mfr_kit.evaluation.subjects import Subjects
from mfr_kit.models import preprocess
from mfr_kit.models.onnx_models import onnx_file
from mfr_kit.models.operating_points import META_CARD, META_POINTS, MOST_BYTES, OperatingPoint
from mfr_kit.models.weights import Run
from mfr_kit.paths import check_output
from mfr_kit.records import read_json
from mfr_kit.submission import card_text

CARD = "MODEL_CARD.md"
MARK = "<!-- MFR Kit: model card of "  # begins a card that the kit may write over
TOO_SMALL = "The set measured is too small for a threshold at any false-accept rate."
ADVICE = "give the report.json of `kit.py evaluate` as --report"
_ROW: dict[str, Any] = {
    "far": float,
    "tar": (float, None),
    "threshold": (float, None),
    "interval?": ({"low": float, "high": float}, None),
    "false_accepts": (int, None),
    "far_measured?": (float, None),
}
_RESULT: dict[str, Any] = {"comparisons": {"genuine": int, "impostor": int}, "tar_at_far": [_ROW]}
_MODEL: dict[str, Any] = {"name": str, "fingerprint": str, "given?": str}
_MODEL |= {"exported_from?": (str, None)}
_SET: dict[str, Any] = {
    "name": str,
    "fingerprint": str,
    "faces": int,
    "people": int,
    "not_found": {...: int},
}
_SET |= {"sampled?": (dict, None), "alignment?": dict}
REPORT: dict[str, Any] = {
    "schema": frozenset({SCHEMA}),
    "options": {"flip?": bool},
    "set": (_SET, None),
    "models": [_MODEL],
    "overlap": [{"model": str, "people": int, "measured": int}],
    "protocols": {...: {"models": {...: _RESULT}}},
}


def to_metadata(report: Path, run: Run) -> dict[str, str]:
    """Turn what a report says of a run's student into entries of its file's metadata.

    Args:
        report: report.json of `kit.py evaluate`, of the run or of a file exported from it.
        run: what is exported.
    Raises:
        KitError: no report, one of other weights, or one without a threshold of a face set.
    """
    found = read_json(report, REPORT, ADVICE)
    about = found["set"]
    if about is None:
        raise KitError(
            f"{report} measured verification sets only, which have no threshold of a face set: "
            "evaluate with --data"
        )
    model = _model_of(found["models"], run, report)
    return _of_results(found, model, run, str(report))


def points_in_report(report: Path, fingerprint: str) -> list[OperatingPoint]:
    """Read the thresholds that a report says a model has.

    Args:
        report: report.json of `kit.py evaluate`.
        fingerprint: of the model's weights; a file that was measured as a run's export counts as
            the run.
    Returns:
        None of them where the report measured other weights, or no face set.
    Raises:
        KitError: no report.
    """
    found = read_json(report, REPORT, ADVICE)
    about = found["set"]
    model = next((row for row in found["models"] if _is_model(row, fingerprint)), None)
    if about is None or model is None:
        return []
    empty = {key: None for key in OperatingPoint._fields}
    mirrored = found["options"].get("flip", False)
    return [
        OperatingPoint(**empty | point | {"set_name": about["name"], "mirrored": mirrored})
        for point in _points(found["protocols"], model["name"])
    ]


def of_edge(protocols: dict, kind: str, faceset: FaceSet, run: Run) -> dict[str, str]:
    """Turn what was measured of an edge file into entries of its metadata; none where the set is
    too small for a threshold.

    Args:
        protocols: of `edge_cost.compare_files`.
        kind: "float16" or "int8", as the edge file is called there.
        faceset: that was measured.
        run: whose weights were rounded.
    """
    if not _points(protocols, kind):
        return {}
    about = Subjects(faceset, faceset).about(faceset)
    found = {"set": about, "options": {}, "overlap": [], "protocols": protocols}
    return _of_results(found, {"name": kind}, run, f"the {kind} file")


def _of_results(found: dict, model: dict, run: Run, where: str) -> dict[str, str]:
    about, points = found["set"], _points(found["protocols"], model["name"])
    card = {"network": _network(run), "alignment": about.get("alignment", {})}
    card["limits"] = _limits(found, model, points)
    described = {META_CARD: json.dumps(card, sort_keys=True)}
    if not points:
        _refuse_unmeasured(found["protocols"], model["name"], where)
        print(f"warning: {where}: {TOO_SMALL} The card says so.", file=sys.stderr)
        return described
    measured = {
        "set": {key: about[key] for key in ("name", "fingerprint", "faces", "people")},
        "mirrored": found["options"].get("flip", False),
        "kit_version": __version__,
        "points": points,
    }
    text = json.dumps(measured, sort_keys=True)
    if len(text) > MOST_BYTES:
        raise KitError(
            f"{where}: {len(points):,} operating points are too many for a file's metadata: "
            "evaluate with fewer --far"
        )
    return {META_POINTS: text, **described}


def _refuse_unmeasured(protocols: dict, name: str, where: str) -> None:
    if not any(name in entry["models"] for entry in protocols.values()):
        raise KitError(
            f"{where} has no threshold of {name}: it was not measured, or under two alignments; "
            "evaluate it without --realigned"
        )


def _model_of(models: list[dict], run: Run, report: Path) -> dict:
    for model in models:
        if _is_model(model, run.fingerprint):
            return model
    given = ", ".join(
        f"{model['name']} ({(model.get('exported_from') or model['fingerprint'])[:12]})"
        for model in models
    )
    raise KitError(
        f"--report {report} is of {given}, not of {run.name} ({run.fingerprint[:12]}): measure "
        f"what is exported: python kit.py evaluate {run.path} --data SET --out FOLDER"
    )


def _is_model(row: dict, fingerprint: str) -> bool:
    return fingerprint in (row["fingerprint"], row.get("exported_from"))


def _points(protocols: dict, name: str) -> list[dict]:
    """The rows with a threshold. Those against another model's gallery are no property of this
    one, those of verification sets are of mirrored sums.
    """
    known = {entry.replace("_", "-") for entry in registry.names(PROTOCOLS)}
    points = []
    for protocol, entry in protocols.items():
        if protocol not in known or protocol.startswith("old-gallery"):
            continue
        result = entry["models"].get(name, {"tar_at_far": []})
        for row in result["tar_at_far"]:
            if row["tar"] is None or row["threshold"] is None or row["false_accepts"] is None:
                continue
            span = row.get("interval") or {"low": None, "high": None}
            point = {
                "protocol": protocol,
                **{key: row[key] for key in ("far", "threshold", "tar", "false_accepts")},
                **{key: span[key] for key in ("low", "high")},
                **{key: result["comparisons"][key] for key in ("genuine", "impostor")},
            }
            if row.get("far_measured") is not None:
                point["far_measured"] = row["far_measured"]
            points.append(point)
    return points


def _network(run: Run) -> dict:
    size = sum(parameter.numel() for parameter in run.model.parameters())
    config = run.config
    return {
        "backbone": config["student"],
        "width": config["width"],
        "parameters": size,
        **({"method": config["method"]} if isinstance(config.get("method"), str) else {}),
    }


def _limits(report: dict, model: dict, points: list[dict]) -> list[str]:
    """What a reader must not take from the figures, a sentence each."""
    about = report["set"]
    missing, measured = sum(about["not_found"].values()), {point["protocol"] for point in points}
    limits = [
        f"The thresholds are those of {about['people']:,} people of the set {about['name']}; on "
        "other photographs, another camera or another alignment the rates are others.",
    ]
    if points:
        lowest = min(point["far"] for point in points)
        limits.append(f"Nothing is known of false-accept rates below {lowest:g}.")
    else:
        limits = [TOO_SMALL]
    if points and not measured & {"mask-nonmask", "mask-mask", "synthetic-mask"}:
        limits.append("It was not measured under masks.")
    if missing:
        limits.append(f"Photographs without a face that was found: {missing:,}, as non-matches.")
    if about.get("sampled"):
        limits.append("The people measured are a sample of the set's.")
    if report["options"].get("flip"):
        limits.append(
            "The thresholds hold for the sum of a face's embedding and its mirror image's."
        )
    limits += [
        f"It was trained on {row['people']:,} of the {row['measured']:,} people measured: the "
        "rates flatter."
        for row in report["overlap"]
        if row["model"] in (model["name"], model.get("given"))
    ]
    if points and all(point["low"] is None for point in points):
        limits.append("The rates have no intervals.")
    if not any(
        "by_group" in result
        for entry in report["protocols"].values()
        for result in entry["models"].values()
    ):
        limits.append("Groups of people were not compared: rates may differ between them.")
    return limits


def check_card(path: Path, report: Path | None) -> None:
    """Refuse, before the work, a card that could not be written beside `path`.

    Raises:
        KitError: what lies there is not the card of this file.
    """
    if report is None:
        return
    place = path.parent / CARD
    check_output(place, "file", "--report writes")
    if place.exists() and not _is_of(place, path.name):
        raise KitError(
            f"{place} exists already and is no card of {path.name}: move it, or export into "
            "another folder (--out)"
        )


def write_card(path: Path) -> Path:
    """Write `MODEL_CARD.md` beside an exported file; returns its path."""
    place = path.parent / CARD
    files.write_bytes(place, text_of(path))
    return place


def text_of(path: Path) -> bytes:
    """Compose the card of an ONNX file from its metadata.

    Raises:
        KitError: no ONNX file, or damaged metadata.
    """
    metadata = _metadata(path)
    text = f"{_mark(path.name, metadata)}\n{card_text.describe(metadata, path.name)}"
    return text.encode("utf-8", "backslashreplace")


def find_card(path: Path) -> bytes | None:
    """Give the card of a file that carries one: what lies beside it, which somebody may have added
    to, unless that is of other weights; None where the file carries none.

    Raises:
        KitError: no ONNX file, or damaged metadata.
    """
    metadata, place = _metadata(path), path.parent / CARD
    if META_CARD not in metadata:
        return None
    own = _mark(path.name, metadata).encode()
    data = place.read_bytes() if place.is_file() else b""
    return data if data.startswith(own) else text_of(path)


def _metadata(path: Path) -> dict[str, str]:
    return {item.key: item.value for item in onnx_file.load(path).metadata_props}


def _mark(name: str, metadata: dict[str, str]) -> str:
    return f"{MARK}{name}, weights {metadata.get(preprocess.META_FINGERPRINT, 'unknown')} -->"


def _is_of(place: Path, name: str) -> bool:
    with place.open("rb") as file:
        return file.readline(4096).startswith(f"{MARK}{name}, ".encode())
