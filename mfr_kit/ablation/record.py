"""One record of a finished cell: what its JSON must hold, and how it is read."""

from pathlib import Path
from typing import Any

from mfr_kit.errors import KitError
from mfr_kit.records import check, parse_json, read_text

SCHEMA = "mfr-kit/ablation/1"
ADVICE = "delete it, and run the table again"
LONGEST_NAME = 200  # bytes of a table's name
RATE = {
    "far": float,
    "tar": (float, None),
    "false_accepts": (int, None),
    "resampled": [(float, None)],
}
SET = {"fingerprint": str, "faces": int, "people": int, "protocols": {...: [RATE]}}
SHAPE = {
    "table": str,
    "title": str,
    "setting": str,
    "against?": (str, [str]),
    "seed": (int, str, None),
    "sets": {...: SET},
    "options?": {"mask_ratio?": float},
    "training_sets?": list,
    "curve?": [[float]],
    "validation?": list,
    "seconds": {"train": float, "measure": float},
    "commit": (str, None),
    "inputs?": {...: str},
    "key": str,
}


def read_record(path: Path) -> dict[str, Any]:
    """Read a record.

    Raises:
        KitError: damaged, of another version, or of another shape; names file and key.
    """
    record = parse_json(read_text(path, ADVICE), str(path), ADVICE)
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise KitError(f"{path}: no record of this version of `kit.py ablate`; {ADVICE}")
    check(record, SHAPE, str(path), ADVICE)
    table = record["table"]
    if Path(table).name != table or len(table.encode()) > LONGEST_NAME:  # it names a page
        raise KitError(f"{path}: key 'table' is no name that a file can have; {ADVICE}")
    if any(len(point) != 2 for point in record.get("curve", [])):
        raise KitError(f"{path}: key 'curve' holds a point that is no step and loss; {ADVICE}")
    rates = [
        rate
        for outcome in record["sets"].values()
        for row in outcome["protocols"].values()
        for rate in row
    ]
    for rate in rates:
        if not 0 < rate["far"] <= 1 or not 0 <= (rate["tar"] or 0) <= 1:
            raise KitError(f"{path}: a far or tar is not within 0 and 1; {ADVICE}")
    return record


def refuse_other_layout(path: Path, record: dict, first: dict) -> None:
    """Refuse a record that cannot stand beside another of its table.

    Raises:
        KitError: it measures other sets, protocols or FARs, or other numbers of resamples.
    """
    if _layout(record) != _layout(first):
        known = f"that of '{first['setting']}'"
        raise KitError(f"{path}: a record of other sets, protocols or FARs than {known}; {ADVICE}")


def _layout(record: dict) -> dict:
    return {
        name: {
            protocol: [rate["far"] for rate in rates]
            for protocol, rates in measured["protocols"].items()
        }
        for name, measured in record["sets"].items()
    }
