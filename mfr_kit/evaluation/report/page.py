"""Write a report: JSON for machines, CSV for tables, and one HTML page that needs nothing beside
it.
"""

import json
import re
from pathlib import Path
from typing import Any

from mfr_kit import files, spreadsheet
from mfr_kit.evaluation.report import exports, pdf
from mfr_kit.evaluation.report.panels import panels, short_range
from mfr_kit.evaluation.report.verdict import verdict
from mfr_kit.web_page import policy

INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
MOST_GROUPS = 500  # rows of a table of groups; a page of 100,000 opens in no browser
MOST_PICTURES = 3000  # of errors, 3 to 5 KB each
FILTERS = 12  # values that a list of errors can be filtered by


def write(report: dict, folder: Path, printed: bool = False) -> Path:
    """Write `report.json`, `report.html`, the tables `report.csv`, `report.md` and `report.tex`,
    where a gallery was searched `searches.csv`, where groups of people were compared `groups.csv`,
    and, `printed`, `report.pdf`; return the page's path.
    """
    folder = Path(folder)
    place = folder / "report.html"
    files.write_text(folder / "report.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
    files.write_text(place, page(report), errors="backslashreplace")
    spreadsheet.write_table(folder / "report.csv", exports.COLUMNS, exports.rows(report))
    for name, text in (("md", exports.markdown(report)), ("tex", exports.latex(report))):
        files.write_text(folder / f"report.{name}", text, errors="backslashreplace")
    for name, columns, rows in (
        ("searches.csv", exports.SEARCH_COLUMNS, list(exports.search_rows(report))),
        ("groups.csv", exports.GROUP_COLUMNS, list(exports.group_rows(report))),
    ):
        if rows:
            spreadsheet.write_table(folder / name, columns, rows)
    if printed:
        pdf.write_pdf(place, folder / "report.pdf")
    return place


def page(report: dict) -> str:
    """Lay out the HTML page; faces that the report names are read from its face set.

    Raises:
        KitError: the set or a face is not there any more.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    shelf = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=_show,
    )
    shelf.globals.update(
        percent=_percent,
        number=_number,
        count=_count,
        tar=_tar,
        change=_change,
        steepest=_steepest,
        where=_where,
        kinds=_kinds,
        short=short_range,
    )
    first = next(iter(next(iter(report["protocols"].values()))["models"].values()))
    fars = [row["far"] for row in first["tar_at_far"]]
    plots = {name: panels(entry) for name, entry in report["protocols"].items()}
    style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8") + _filter_rules()
    return shelf.get_template("report.html.j2").render(
        report=report,
        fars=fars,
        plots=plots,
        verdict=verdict(report),
        album=_album(report),
        style=Markup(style),
        policy=Markup(policy(style)),
        most_groups=MOST_GROUPS,
        most_errors=_most_errors(report["protocols"]),
    )


def _show(value: Any) -> Any:
    """Show a sign for what would be invisible in a name, or would turn the text around it."""
    return INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", value) if type(value) is str else value


def _filter_rules() -> str:
    """Style rules by which a filter that is picked hides the other errors: no script is needed."""
    return "".join(
        f".worst:has(.pick.{by}-{at}:checked) li:not(.{by}-{at}) {{ display: none; }}\n"
        for by in ("mask", "turn", "resolution")
        for at in range(FILTERS)
    )


def _most_errors(protocols: dict) -> int:
    """How many errors of a kind are shown, so that all pictures of the page stay within
    MOST_PICTURES.
    """
    lists = sum(
        2 for entry in protocols.values() for found in entry["models"].values() if "worst" in found
    )
    return max(1, MOST_PICTURES // (2 * max(lists, 1)))


def _kinds(found: dict, by: str) -> list[str]:
    """What worst errors can be filtered by: the values of one of their properties, sorted."""
    rows = [*found["false_matches"], *found["false_non_matches"]]
    return sorted({row[by] for row in rows if by in row})


def _album(report: dict):
    """Open the pictures of the faces that the report names; None where it names none."""
    keys = {
        row[side]
        for entry in report["protocols"].values()
        for result in entry["models"].values()
        for kind in ("false_matches", "false_non_matches")
        for row in (result.get("worst") or {}).get(kind, ())
        for side in ("probe", "gallery")
    }
    keys |= {
        pair[name]
        for pair in (report["explained"] or {"pairs": []})["pairs"]
        for name in ("masked", "clean", "partner")
    }
    if not keys:
        return None
    from mfr_kit.evaluation.report.pictures import Album

    return Album(Path(report["options"]["data"]), keys)


def _steepest(pair: dict) -> float:
    """The greatest fall or rise in the maps of a pair, which share one scale; at least 0.001."""
    maps = [
        model[name]["falls"] for model in pair["models"].values() for name in ("clean", "masked")
    ]
    return max(1e-3, *(abs(fall) for rows in maps for row in rows for fall in row))


def _where(falls: list[list[float]]) -> str:
    """Say in words what a map shows, for those who hear the page."""
    fall, row, column = max(
        (fall, row, column) for row, line in enumerate(falls) for column, fall in enumerate(line)
    )
    down, across = (("first", "second", "last")[3 * at // len(falls)] for at in (row, column))
    return (
        f"map: the cosine falls most, by {fall:.3f}, where the {down} third from the top and the "
        f"{across} third from the left is hidden"
    )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f} %"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _change(entry: dict, model: str, far: float) -> str:
    """What a model's TAR is more or less than the first model's, in points, with its paired
    interval; "" where nothing is claimed.
    """
    row = next(
        (row for row in entry["differences"] if row["model"] == model and row["far"] == far), None
    )
    if row is None:
        return ""
    low, high = (100 * row["interval"][end] for end in ("low", "high"))
    return f"{100 * row['tar_difference']:+.2f} ({low:+.2f} to {high:+.2f})"


def _tar(row: dict) -> str:
    if row["tar"] is None:
        return "no claim"
    span = row["interval"]
    return _percent(row["tar"]) + (
        f" ({100 * span['low']:.1f}–{100 * span['high']:.1f})" if span else ""
    )
