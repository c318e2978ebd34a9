"""The kit's own pairs: CSV with the header `left,right,same[,left_masked,right_masked]`, the
flags 0 or 1.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from mfr_kit import files
from mfr_kit.data.text_lines import read_lines
from mfr_kit.data.verification_sets.pairs import PairSet, from_rows
from mfr_kit.errors import KitError

PLAIN, MASKED = ["left", "right", "same"], ["left", "right", "same", "left_masked", "right_masked"]
FLAGS = {"0": False, "1": True, "false": False, "true": True}


def recognises(path: Path) -> bool:
    """A .csv file."""
    return path.suffix.lower() == ".csv"


def open_pairs(path: Path, images: Path | None = None, allow_outside: bool = False) -> PairSet:
    """Read the file; images are named relative to `images`.

    Raises:
        KitError: another header, a row of another length, or a flag that is not 0 or 1; names the
            line.
    """
    lines = csv.reader(io.StringIO("\n".join(read_lines(path, "the pairs")), newline=""))
    try:
        header = [field.strip().lower() for field in next(lines, [])]
        if header not in (PLAIN, MASKED):
            wanted = f"{','.join(PLAIN)}[,left_masked,right_masked]"
            raise KitError(
                f"{path}: line 1: the header {wanted} expected, found {','.join(header)[:80]!r}"
            )
        rows = _rows(path, lines, len(header))
        return from_rows(path, images, rows, header == MASKED, allow_outside)
    except csv.Error as error:
        raise KitError(f"cannot read the pairs {path}: {error}") from None


def write_pairs(path: Path, pairs: PairSet) -> None:
    """Write names and flags; the images stay where they are."""
    columns = (
        [pairs.same]
        if pairs.left_masked is None
        else [pairs.same, pairs.left_masked, pairs.right_masked]
    )
    with (
        files.replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(PLAIN if pairs.left_masked is None else MASKED)
        for left, right, *flags in zip(pairs.left, pairs.right, *columns, strict=True):
            writer.writerow([pairs.names[left], pairs.names[right], *map(int, flags)])


def _rows(path: Path, lines: Iterator[list[str]], width: int) -> Iterator[tuple]:
    for number, fields in enumerate(lines, 2):
        if not fields:
            continue
        flags = [FLAGS.get(field.strip().lower()) for field in fields[2:]]
        if len(fields) != width or None in flags:
            raise KitError(
                f"{path}: line {number}: {width} fields expected, the flags 0 or 1; found "
                f"{','.join(fields)[:80]!r}"
            )
        yield (number, fields[0].strip(), fields[1].strip(), *flags)
