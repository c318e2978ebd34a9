"""The figures of a table's records as text: means over seeds, and differences to the teacher with
intervals.
"""

import numpy as np

from mfr_kit.ablation.cells import TEACHER
from mfr_kit.evaluation.verification.bootstrap import LEVEL
from mfr_kit.evaluation.verification.rates import CLAIM, COMPARE

BARE, MASKED = "nonmask-nonmask", "mask-nonmask"


def overview(by_setting: dict[str, list[dict]]) -> list[str]:
    """All settings and sets in one table: the mean TAR at the least FAR that every setting can
    be given a figure for.
    """
    columns = []
    for set_name, shape in next(iter(by_setting.values()))[0]["sets"].items():
        for protocol, rows in shape["protocols"].items():
            place = least_place(by_setting, set_name, protocol)
            if place is None:
                continue
            tars = {
                name: mean_tar(records, set_name, protocol, place)
                for name, records in by_setting.items()
            }
            columns.append((f"{set_name}, {protocol} @ {rows[place]['far']:g}", tars))
    if not columns:
        return []
    lines = [
        "| setting | " + " | ".join(title for title, _ in columns) + " |",
        "| --- |" + " --- |" * len(columns),
    ]
    return lines + [
        f"| {name} | " + " | ".join(f"{tars[name]:.2f}" for _, tars in columns) + " |"
        for name in by_setting
    ]


def rates_table(by_setting: dict[str, list[dict]], set_name: str, protocol: str) -> list[str]:
    """Every setting at every FAR: TAR, and the difference to the teacher."""
    teacher = by_setting.get(TEACHER)
    fars = [
        row["far"]
        for row in next(iter(by_setting.values()))[0]["sets"][set_name]["protocols"][protocol]
    ]
    lines = [
        "| setting | " + " | ".join(f"TAR @ {far:g} | minus the teacher" for far in fars) + " |",
        "| --- |" + " --- | --- |" * len(fars),
    ]
    for name, records in by_setting.items():
        cells = []
        for place in range(len(fars)):
            rows = [record["sets"][set_name]["protocols"][protocol][place] for record in records]
            base = (
                teacher[0]["sets"][set_name]["protocols"][protocol][place]
                if teacher and name != TEACHER
                else None
            )
            cells += [mean_text(rows), difference_text(rows, base)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def is_claimed(rows: list[dict], least: int) -> bool:
    """Whether every rate rests on at least so many false accepts."""
    return all(row["tar"] is not None and (row["false_accepts"] or 0) >= least for row in rows)


def mean_text(rows: list[dict]) -> str:
    """The mean over seeds in %, and the least and the greatest; "-" where it cannot be claimed."""
    if not is_claimed(rows, CLAIM):
        return "-"
    values = [100 * row["tar"] for row in rows]
    return f"{np.mean(values):.2f}" + (
        f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
    )


def difference_text(rows: list[dict], base: dict | None) -> str:
    """The mean over seeds minus the teacher, with the interval of that very figure over people."""
    if base is None or not is_claimed([*rows, base], COMPARE) or not base["resampled"]:
        return "-"
    if len({len(row["resampled"]) for row in [*rows, base]}) != 1:
        return "-"
    ours = np.mean([np.array(row["resampled"], float) for row in rows], axis=0)
    change = 100 * (ours - np.array(base["resampled"], float))
    low, high = np.nanquantile(change, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return (
        f"{100 * (np.mean([row['tar'] for row in rows]) - base['tar']):+.2f} ({low:+.2f} to "
        f"{high:+.2f})"
    )


def mean_tar(records: list[dict], set_name: str, protocol: str, place: int = 0) -> float | None:
    """TAR in %, the mean over seeds, at the FAR of that place; None where it cannot be claimed."""
    rows = [record["sets"][set_name]["protocols"][protocol][place] for record in records]
    return 100 * float(np.mean([row["tar"] for row in rows])) if is_claimed(rows, CLAIM) else None


def least_place(by_setting: dict[str, list[dict]], set_name: str, protocol: str) -> int | None:
    """Place of the least FAR at which all settings have a figure; None if there is none."""
    rows = next(iter(by_setting.values()))[0]["sets"][set_name]["protocols"][protocol]
    for place, _ in sorted(enumerate(rows), key=lambda entry: entry[1]["far"]):
        tars = [mean_tar(records, set_name, protocol, place) for records in by_setting.values()]
        if None not in tars:
            return place
    return None
