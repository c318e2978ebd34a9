"""Lists of photographs that were left out, and why: `skipped.csv` of a face set,
`DST.skipped.csv` beside what `convert` wrote.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from mfr_kit import files, spreadsheet
from mfr_kit.data.face_set.faceset_files import SKIPPED_COLUMNS


def write_skipped(path: Path, rows: Iterable[dict]) -> None:
    """Write a whole list, rows by the names of `SKIPPED_COLUMNS`."""
    with (
        files.replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        write_skipped_header(file)
        write_skipped_rows(file, rows)


def write_skipped_header(file: TextIO) -> None:
    """Write the first line."""
    file.write(",".join(SKIPPED_COLUMNS) + "\n")


def write_skipped_rows(file: TextIO, rows: Iterable[dict]) -> None:
    """Append rows."""
    spreadsheet.write_rows(file, SKIPPED_COLUMNS, rows)
