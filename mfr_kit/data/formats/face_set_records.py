"""A face set whose images lie in `.rec` files instead of a file each; `face-set` reads both
kinds, this one is for writing.
"""

from pathlib import Path

from mfr_kit.data.formats import face_set
from mfr_kit.data.training_set import TrainingSet

open_set = face_set.open_set


def recognises(path: Path) -> bool:
    """Never by itself: `face-set` reads both kinds."""
    return False


def write_set(path: Path, source: TrainingSet) -> None:
    """Adopt aligned crops into records: a few large files instead of millions of small ones."""
    face_set.write_set(path, source, in_records=True)
