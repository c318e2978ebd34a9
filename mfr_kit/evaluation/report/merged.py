"""Two reports as one: the models of both side by side, with paired differences wherever both
measured the same faces.

Reports keep the resampled figures of their models. Resamples of one set, seed and number draw the
same people, so that figures of two reports can be paired as those of one.
"""

from pathlib import Path
from typing import Any

from mfr_kit.errors import KitError
from mfr_kit.evaluation import compare
from mfr_kit.evaluation.result import SCHEMA
from mfr_kit.evaluation.verification.bootstrap import from_text
from mfr_kit.evaluation.verification.rates import Outcome
from mfr_kit.records import read_json

ADVICE = "give the report.json of `kit.py evaluate`"
_SPAN = ({"low": float, "high": float}, None)
_ROW: dict[str, Any] = {
    "far": float,
    "tar": (float, None),
    "tar_macro": (float, None),
    "interval": _SPAN,
    "threshold": (float, None),
    "false_accepts": (int, None),
    "true_accepts": (int, None),
    "note": str,
}
_COMPARED = {"genuine": int, "impostor": int}
_RANK = {"rank": int, "rate": (float, None), "interval": _SPAN}
_FNIR = {
    "fpir": float,
    "fnir": (float, None),
    "interval": _SPAN,
    "false_positives": (int, None),
    "note": str,
}
_SEARCHED: dict[str, Any] = {
    "enrolled": {"people": (int, None), "photographs": int},
    "searches": {
        "mated": int,
        "non_mated": int,
        "not_found": int,
        "condition?": str,
        "pairs?": int,
    },
    "cmc": [_RANK],
    "open_set": [_FNIR],
}
_GROUP = {"group": str, "faces": {"people": int}, "comparisons": _COMPARED, "tar_at_far": [_ROW]}
_RESULT: dict[str, Any] = {
    "comparisons": _COMPARED,
    "faces": {"people": int, "failures_to_acquire": int, "failure_to_acquire_rate": float},
    "tar_at_far": [_ROW],
    "eer": {"rate": float, "threshold": float},
    "d_prime": (float, None),
    "roc": {"far": [float], "tar": [float]},
    "histogram": {"from": [float], "width": float, "genuine": [int], "impostor": [int]},
    "resampled?": {...: str},
    "accuracy?": {"mean": float, "std": float, "folds": list},
    "nearest?": [{"fpr": float, "tpr": float}],
    "draw?": ({"parameters_sha256": str, "pixels_sha256": str, "faces": int, "seed": int}, None),
    "by_group?": [_GROUP],
    "groups?": [{"by": str, "group": str, "genuine": int, "tar": [(float, None)]}],
    "identification?": _SEARCHED,
    "searched?": [{"gallery": str, **_SEARCHED}],
    "distractors?": {
        "second_set": bool,
        "probed": int,
        "photographs": int,
        "left_out": {"people": int, "not_found": int},
        "verification": [
            {"probes": str, "far": float, "tar": (float, None), "interval": _SPAN},
        ],
    },
}
_EACH = {"nonmask": int, "mask": int}
_SET: dict[str, Any] = {
    "name": str,
    "fingerprint": str,
    "people": int,
    "conditions": _EACH,
    "not_found": _EACH,
    "sampled": ({"people": int, "of_people": int, "seed": int}, None),
}
_SHAPE: dict[str, Any] = {
    "schema": frozenset({SCHEMA}),
    "kit_version": str,
    "command": str,
    "options": {"resamples": int, "seed": int, "flip": bool},
    "set": (_SET, None),
    "bins": [{"name": str, "protocol": str, "fingerprint": str, "pairs": int, "same": int}],
    "models": [{"name": str, "fingerprint": str}],
    "overlap": [{"text": str}],
    "protocols": {...: {"title": str, "models": {...: _RESULT}}},
}


def read_report(path: Path) -> dict:
    """Read a report.json, or that of a folder.

    Raises:
        KitError: there is none, or damaged.
    """
    path = Path(path)
    path = path / "report.json" if path.is_dir() else path
    report = read_json(path, _SHAPE, ADVICE)
    if len({tuple(sorted(entry["models"])) for entry in report["protocols"].values()}) > 1:
        raise KitError(f"{path}: its protocols are not all of the same models; {ADVICE}")
    return report


def merge(first: Path, second: Path) -> tuple[dict, list[str]]:
    """Lay two reports side by side.

    Args:
        first: report.json; its first model is the one that all others are compared with.
        second: report.json; models that the first has too, with the same figures, are left out.
    Returns:
        A report like `run.evaluate`'s of what both measured, and lines on what was left out. Models
        of one name are told apart by the folders of their reports.
    Raises:
        KitError: damaged, or they have nothing in common.
    """
    reports = [read_report(path) for path in (first, second)]
    labels, notes = _labels(reports, [_folder(path) for path in (first, second)])
    protocols, left = _common(reports)
    fars = _fars(reports, protocols)
    paired = _paired(reports)
    notes += left + paired
    outcomes: dict[str, dict[str, Outcome]] = {}
    for report, path, names in zip(reports, (first, second), labels, strict=True):
        for name, label in names.items():
            outcomes[label] = {
                protocol: _outcome(report["protocols"][protocol], name, fars, path, not paired)
                for protocol in protocols
            }
    titles = {name: reports[0]["protocols"][name]["title"] for name in protocols}
    found = compare.side_by_side(outcomes, titles)
    models = [
        {**model, "name": names[model["name"]]}
        for report, names in zip(reports, labels, strict=True)
        for model in report["models"]
        if model["name"] in names
    ]
    trained = [row for report in reports for row in report["overlap"]]
    trained = [row for at, row in enumerate(trained) if row not in trained[:at]]
    nothing = dict.fromkeys(("realigned", "challenge", "explained", "operating_point"))
    about = {"command": f"python kit.py compare {first} {second}", "models": models}
    about["overlap"] = trained
    return {**reports[0], **nothing, **about, "protocols": found}, notes


def _folder(path: Path) -> str:
    path = Path(path).resolve()
    return path.name if path.is_dir() else path.parent.name


def _labels(reports: list[dict], folders: list[str]) -> tuple[list[dict[str, str]], list[str]]:
    """Name the models of both; one that stands in both with the same figures once."""
    old, new = (_models(report) for report in reports)
    same = [name for name in new if name in old and _figures(new[name]) == _figures(old[name])]
    fresh = [name for name in new if name not in same]
    if not fresh:
        raise KitError(
            f"both reports say the same of {', '.join(same)}: there is nothing to compare"
        )
    twice = [name for name in fresh if name in old]
    tags = folders if folders[0] != folders[1] else ["first", "second"]
    first = {name: f"{name} ({tags[0]})" if name in twice else name for name in old}
    second = {name: f"{name} ({tags[1]})" if name in twice else name for name in fresh}
    note = f"{', '.join(same)}: the same in both reports, shown once"
    return [first, second], [note] if same else []


def _models(report: dict) -> dict[str, dict]:
    """By name as tables have it (two alignments of a model have a name each) its results."""
    found: dict[str, dict] = {}
    for protocol, entry in report["protocols"].items():
        for name, result in entry["models"].items():
            found.setdefault(name, {})[protocol] = result
    return found


def _figures(results: dict) -> list:
    return [
        [protocol, [(row["far"], row["tar"], row["threshold"]) for row in result["tar_at_far"]]]
        for protocol, result in results.items()
    ]


def _common(reports: list[dict]) -> tuple[list[str], list[str]]:
    """List the protocols that both measured on the same faces, and say what is not one."""
    known: list[dict[str, str | None]] = []
    for report in reports:
        of_bin = {known["protocol"]: known["fingerprint"] for known in report["bins"]}
        own = report["set"]["fingerprint"] if report["set"] else None
        known.append({name: of_bin.get(name, own) for name in report["protocols"]})
    both = [name for name in known[0] if name in known[1]]
    equal = [name for name in both if known[0][name] == known[1][name] is not None]
    if not equal:
        where = [(report["set"] or {"name": "verification sets"})["name"] for report in reports]
        raise KitError(
            f"the reports have no comparison on the same faces: one is of {where[0]}, the other of "
            f"{where[1]}, or of other people, photographs or protocols; evaluate both on one set"
        )
    other = [name for name in dict.fromkeys([*known[0], *known[1]]) if name not in equal]
    note = f"left out, not measured by both on the same faces: {', '.join(other)}"
    return equal, [note] if other else []


def _fars(reports: list[dict], protocols: list[str]) -> list[float]:
    """The FARs that every model of both has.

    Raises:
        KitError: none.
    """
    asked = [
        {row["far"] for row in result["tar_at_far"]}
        for report in reports
        for name in protocols
        for result in report["protocols"][name]["models"].values()
    ]
    common = set.intersection(*asked)
    if not common:
        raise KitError("the reports have no FAR in common: evaluate both with the same --far")
    return sorted(common, reverse=True)


def _paired(reports: list[dict]) -> list[str]:
    """Say why figures of the two cannot be paired; [] where they can."""
    first, second = (
        {name: report["options"][name] for name in ("resamples", "seed")} for report in reports
    )
    if first != second:
        return [
            f"no differences: --resamples {first['resamples']} --seed {first['seed']} drew other "
            f"people than --resamples {second['resamples']} --seed {second['seed']}"
        ]
    if not first["resamples"]:
        return ["no differences: both were evaluated with --resamples 0"]
    stored = [
        compare.RESAMPLED in result
        for report in reports
        for entry in report["protocols"].values()
        for result in entry["models"].values()
    ]
    if not any(stored):
        return ["no differences: an older kit wrote these reports; evaluate again"]
    return []


def _outcome(entry: dict, name: str, fars: list[float], path: Path, paired: bool) -> Outcome:
    result = dict(entry["models"][name])
    stored = result.pop(compare.RESAMPLED, {})
    try:
        resampled = from_text(stored) if paired else {}
    except ValueError as error:
        raise KitError(f"{path}: damaged resamples ({error}); {ADVICE}") from None
    if [row["far"] for row in result["tar_at_far"]] != fars:
        result.pop("groups", None)  # whose rates stand in the order of the FARs
        result.pop("by_group", None)
        result["tar_at_far"] = [row for row in result["tar_at_far"] if row["far"] in fars]
    result.pop("worst", None)  # whose pictures are those of the first report's set
    return Outcome(result, resampled)
