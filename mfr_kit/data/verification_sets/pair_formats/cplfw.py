"""CPLFW's and CALFW's lists: two lines a pair, `image label` each; label 0 for two people, 1
(CALFW: the number of the fold) for one.

Images are names of files that lie side by side in the published `aligned images` folder.
"""

from pathlib import Path

from mfr_kit.data.verification_sets.pair_rows import is_two_lined, read_two_lined
from mfr_kit.data.verification_sets.pairs import PairSet, from_rows


def recognises(path: Path) -> bool:
    """A .txt file whose first line is a name and a whole number."""
    return path.suffix.lower() == ".txt" and is_two_lined(path)


def open_pairs(path: Path, images: Path | None = None, allow_outside: bool = False) -> PairSet:
    """Read the file; images are named relative to `images`.

    Raises:
        KitError: a line of another shape, two lines of a pair that contradict each other (named),
            or an image that is not there.
    """
    return from_rows(path, images, read_two_lined(path), allow_outside=allow_outside)
