"""CSV files that people open in a spreadsheet, which runs text that begins like a formula.

An apostrophe before such text says that it is text; whoever reads the file again takes it off.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from mfr_kit import files

_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?[0-9][0-9.,]*(e[+-]?[0-9]+)?", re.IGNORECASE)


def guard(cell: Any) -> Any:
    """Put an apostrophe before text that a spreadsheet would run; numbers stay as they are."""
    if isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def unguard(cell: str) -> str:
    """Take off what `guard` put before a text."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def write_rows(file: TextIO, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows as CSV, lines ended by LF.

    Rows with a lone CR are quoted, which csv alone does not do and no reader gets over.
    """
    plain = csv.DictWriter(file, columns, lineterminator="\n")
    quoted = csv.DictWriter(file, columns, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        writer = quoted if any("\r" in str(value) for value in row.values()) else plain
        writer.writerow({name: guard(value) for name, value in row.items()})


def table_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Lay rows out as CSV with a line of names first."""
    text = io.StringIO(newline="")
    text.write(",".join(columns) + "\n")
    write_rows(text, columns, rows)
    return text.getvalue()


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV for people; names that are not UTF-8 with escapes."""
    files.write_text(path, table_text(columns, rows), errors="backslashreplace")
