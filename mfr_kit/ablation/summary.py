"""What is read first: a short table for each table of settings, and the block of a README."""

import re
from collections.abc import Iterator

import numpy as np

from mfr_kit.ablation.cells import TEACHER
from mfr_kit.ablation.figures import BARE, MASKED, difference_text, least_place, mean_tar
from mfr_kit.errors import KitError
from mfr_kit.evaluation.verification.bootstrap import LEVEL

LONGEST = 5  # settings side by side that can still be read
BLOCK = re.compile(
    r"(?P<begin><!-- results of (?P<table>[^:\n]+): (?P<setting>[^\n]+) -->\n)"
    r".*?(?P<end><!-- end of results -->)",
    re.DOTALL,
)


def summarise(by_setting: dict[str, list[dict]]) -> list[str]:
    """Make the short table of one table of settings: a row a set and protocol, a column a
    setting, and what the row's figures rest on.

    Args:
        by_setting: the records of each setting, the teacher's first.
    """
    places = list(_places(by_setting))
    settings = [name for name in by_setting if name != TEACHER]
    note = []
    if len(settings) > LONGEST:
        note = [
            f"The {LONGEST} of {len(settings)} settings that are best on masked faces, "
            "in the mean over the sets (picked by these very figures, so they flatter):",
            "",
        ]
        settings = sorted(settings, key=lambda name: -_on_masks(by_setting[name], places))
        settings = settings[:LONGEST]
    columns = [name for name in (TEACHER, *settings) if name in by_setting]
    lines = [
        *note,
        "| faces compared, FAR | " + " | ".join(columns) + " |",
        "| --- |" + " --- |" * len(columns),
    ]
    for set_name, protocol, place, far in places:
        cells = [_cell(by_setting, name, set_name, protocol, place) for name in columns]
        lines.append(f"| {set_name}, {protocol} @ {far:g} | " + " | ".join(cells) + " |")
    return lines if places else ["No rate rests on enough false accepts in all settings."]


def fill_block(text: str, tables: dict[str, dict[str, list[dict]]], where: str) -> str:
    """Write the block between a page's markers anew: what one setting gains on each set.

    Args:
        text: the page; `<!-- results of TABLE: SETTING -->` begins a block and
            `<!-- end of results -->` ends it.
        tables: the records by table and setting.
        where: names the page in errors.
    Raises:
        KitError: the page has no block, or one of a table or setting without records.
    """
    if not BLOCK.search(text):
        raise KitError(f"{where}: no block '<!-- results of TABLE: SETTING -->' to write")

    def filled(found: re.Match) -> str:
        table, setting = found["table"], found["setting"]
        if setting not in tables.get(table, {}) or TEACHER not in tables[table]:
            raise KitError(f"{where}: no records of '{setting}' and its teacher in '{table}'")
        return found["begin"] + "\n".join(_gains(tables[table], setting)) + "\n" + found["end"]

    return BLOCK.sub(filled, text)


def _gains(by_setting: dict[str, list[dict]], setting: str) -> list[str]:
    """A row each set that has bare and masked faces: before, after, and the gain of both."""
    compared = {name: by_setting[name] for name in (TEACHER, setting)}
    places = {(name, protocol): (place, far) for name, protocol, place, far in _places(compared)}
    lines = [
        f"| TAR in %, gain in points with its {LEVEL:.0%} interval | FAR | masked | bare |",
        "| --- | --- | --- | --- |",
    ]
    for set_name in compared[TEACHER][0]["sets"]:
        if not {(set_name, BARE), (set_name, MASKED)} <= set(places):
            continue
        cells = [f"{places[set_name, MASKED][1]:g}"]
        for protocol in (MASKED, BARE):
            place, _ = places[set_name, protocol]
            tars = [mean_tar(records, set_name, protocol, place) for records in compared.values()]
            before, after = (f"{tar:.2f}" for tar in tars)
            gain = _gain(compared, setting, set_name, protocol, place)
            cells.append(f"{before} → {after}, {gain}")
        lines.append(f"| {set_name} | " + " | ".join(cells) + " |")
    return lines


def _places(by_setting: dict[str, list[dict]]) -> Iterator[tuple[str, str, int, float]]:
    """Set, protocol, place among its FARs, and FAR, of every row that all settings have."""
    for set_name, shape in next(iter(by_setting.values()))[0]["sets"].items():
        for protocol, rows in shape["protocols"].items():
            place = least_place(by_setting, set_name, protocol)
            if place is not None:
                yield set_name, protocol, place, rows[place]["far"]


def _on_masks(records: list[dict], places: list[tuple[str, str, int, float]]) -> float:
    tars = (
        mean_tar(records, set_name, protocol, place)
        for set_name, protocol, place, _ in places
        if protocol == MASKED
    )
    claimed = [tar for tar in tars if tar is not None]
    return float(np.mean(claimed)) if claimed else 0.0


def _cell(by_setting: dict, name: str, set_name: str, protocol: str, place: int) -> str:
    tar = f"{mean_tar(by_setting[name], set_name, protocol, place):.2f}"
    gain = _gain(by_setting, name, set_name, protocol, place)
    return tar if gain == "-" else f"{tar}, {gain}"


def _gain(by_setting: dict, name: str, set_name: str, protocol: str, place: int) -> str:
    if name == TEACHER or TEACHER not in by_setting:
        return "-"
    rows = [record["sets"][set_name]["protocols"][protocol][place] for record in by_setting[name]]
    (teacher,) = by_setting[TEACHER][:1]
    return difference_text(rows, teacher["sets"][set_name]["protocols"][protocol][place])
