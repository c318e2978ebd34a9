"""LFW's `pairs.txt`: `folds <tab> n`, then a fold's n lines `name i j` (one person) and n lines `name i name j` (two people)."""

from collections.abc import Iterator
from pathlib import Path

from mfr_kit.data.pairs import PairSet, from_rows
from mfr_kit.errors import KitError


def recognises(path: Path) -> bool:
    """A .txt file whose first line is one or two whole numbers."""
    if path.suffix.lower() != ".txt":
        return False
    with path.open("rb") as file:
        fields = file.readline(100).split()
    return len(fields) in (1, 2) and all(field.isdigit() for field in fields)


def open_pairs(path: Path, images: Path | None = None) -> PairSet:
    """Read the file; image 3 of Jane_Doe is `Jane_Doe/Jane_Doe_0003` below `images`, whatever its suffix.

    Raises:
        KitError: a line of another shape (named), or another number of lines than the first line announces.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise KitError(f"cannot read the pairs {path}: {error}") from None
    numbers = [int(field) for field in lines[0].split()]
    folds, count = numbers if len(numbers) == 2 else (1, numbers[0])
    rows = list(_rows(path, lines))
    if len(rows) != 2 * folds * count:
        raise KitError(
            f"{path}: line 1 announces {2 * folds * count} pairs, but {len(rows)} follow; the file was cut or edited"
        )
    return from_rows(path, images, rows)


def _rows(path: Path, lines: list[str]) -> Iterator[tuple]:
    for number, line in enumerate(lines[1:], 2):
        fields = line.split("\t") if "\t" in line else line.split()
        if not line.strip():
            continue
        digits = fields[1:3] if len(fields) == 3 else fields[1::2]
        if len(fields) not in (3, 4) or not all(field.strip().isdigit() for field in digits):
            raise KitError(
                f"{path}: line {number}: `name i j` or `name i name j` expected, found {line[:60]!r}"
            )
        left, right = fields[0], fields[0] if len(fields) == 3 else fields[2]
        yield (
            number,
            *(
                f"{name}/{name}_{int(digit):04d}"
                for name, digit in zip((left, right), digits, strict=True)
            ),
            len(fields) == 3,
        )
