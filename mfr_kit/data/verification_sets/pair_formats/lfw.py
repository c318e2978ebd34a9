"""LFW's `pairs.txt`: `folds <tab> n`, then a fold's n lines `name i j` (one person) and n lines
`name i name j` (two people).
"""

from pathlib import Path

from mfr_kit.data.verification_sets.pair_rows import is_lfw, read_lfw
from mfr_kit.data.verification_sets.pairs import PairSet, from_rows


def recognises(path: Path) -> bool:
    """A .txt file whose first line is one or two whole numbers."""
    return path.suffix.lower() == ".txt" and is_lfw(path)


def open_pairs(path: Path, images: Path | None = None, allow_outside: bool = False) -> PairSet:
    """Read the file; image 3 of Jane_Doe is `Jane_Doe/Jane_Doe_0003` below `images`, whatever its
    suffix.

    Raises:
        KitError: a line of another shape (named), or another number of lines than the first line
            announces.
    """
    _, rows = read_lfw(path)
    return from_rows(
        path,
        images,
        (
            (row.line, *(f"{name}/{name}_{n:04d}" for name, n in (row.left, row.right)), row.same)
            for row in rows
        ),
        allow_outside=allow_outside,
    )
