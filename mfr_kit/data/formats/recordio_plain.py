"""A `.rec` without header and per-person records: every key is an image. `recordio` reads both
kinds; this one is for writing.
"""

from pathlib import Path

from mfr_kit.data.formats import recordio
from mfr_kit.data.training_set import TrainingSet

open_set, outputs, refuse_place = recordio.open_set, recordio.outputs, recordio.refuse_place


def recognises(path: Path) -> bool:
    """Never by itself: `recordio` reads both kinds."""
    return False


def write_set(path: Path, source: TrainingSet) -> None:
    """Write images only, keys from 0."""
    recordio.write_set(path, source, header=False)
