"""MLFW's list (masked LFW) and others like it: a line a pair, `image image label`, label 1 for one
person and 0 for two; no first line.

MLFW's images are names of files that lie side by side in the published `aligned` (or `origin`)
folder, as `Aaron_Eckhart_0001_0000.jpg`. The list itself was not at hand; three public programs
that read it (a tab between the fields, label last, 6,000 lines) agree on this. Other lists have the
label first, or commas or spaces.
"""

from pathlib import Path

from mfr_kit.data.verification_sets.pair_rows import is_labelled, read_labelled
from mfr_kit.data.verification_sets.pairs import PairSet, from_rows

SUFFIXES = (".txt", ".lst", ".list", ".csv")


def recognises(path: Path) -> bool:
    """A text file whose first line is two names and 0 or 1."""
    return path.suffix.lower() in SUFFIXES and is_labelled(path)


def open_pairs(path: Path, images: Path | None = None, allow_outside: bool = False) -> PairSet:
    """Read the file; images are named relative to `images`.

    Raises:
        KitError: a line of another shape (named), or an image that is not there.
    """
    return from_rows(path, images, read_labelled(path), allow_outside=allow_outside)
