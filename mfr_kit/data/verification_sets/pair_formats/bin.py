"""InsightFace's verification `.bin`: see mfr_kit/data/verification_sets/bins.py."""

from pathlib import Path

import numpy as np

from mfr_kit.data.verification_sets.bins import read_bin, write_bin
from mfr_kit.data.verification_sets.pairs import PairSet


def recognises(path: Path) -> bool:
    """A .bin file."""
    return path.suffix.lower() == ".bin"


def open_pairs(path: Path, images: Path | None = None, allow_outside: bool = False) -> PairSet:
    """Open a `.bin`; the images are inside, two a pair, named 0, 1, 2 ..."""
    data, same = read_bin(path)
    left = np.arange(0, len(data), 2)
    names = [f"{number:06d}" for number in range(len(data))]
    return PairSet(
        path, names, left, left + 1, np.array(same, bool), None, None, lambda row: bytes(data[row])
    )


def write_pairs(path: Path, pairs: PairSet) -> None:
    """Write both images of every pair; what the format has no room for (names, which face is
    masked) is lost.
    """
    rows = np.stack([pairs.left, pairs.right], 1).ravel()
    write_bin(path, (pairs.encoded(row) for row in rows), pairs.same)
