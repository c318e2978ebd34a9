"""How names say that a face is masked: `person/masked/photo.jpg`, and `photo.masked.jpg` for the
masked twin of `photo.jpg`.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from mfr_kit.data.photographs.face_names import TWIN
from mfr_kit.data.photographs.photos import CONDITION_FOLDERS


def says_masked(name: str, person: str = "") -> bool:
    """Whether a photograph's path names it masked: by its own name, or by the last condition folder
    that it lies in.

    Args:
        name: path with /.
        person: a folder of this name is the person's, not a condition.
    """
    if "mask" not in name.lower():
        return False
    path = PurePosixPath(name)
    if path.stem.lower().endswith(TWIN):
        return True
    conditions = [
        CONDITION_FOLDERS[part.lower()]
        for part in path.parts[:-1]
        if part.lower() in CONDITION_FOLDERS and part != person
    ]
    return bool(conditions) and conditions[-1] == "mask"


def find_twins(names: Sequence[str], labels: np.ndarray, masked: np.ndarray) -> np.ndarray:
    """Find the clean face of every twin: (N,) int64 rows, -1 where a photograph is no twin or its
    clean face is not there.

    Args:
        names: (N,) paths of photographs, with /.
        labels: (N,) their people; a twin is of the same person as its clean face.
        masked: (N,) bool.
    """
    clean = np.full(len(names), -1, np.int64)
    rows = np.flatnonzero(masked).tolist()
    rows = [row for row in rows if _stem(names[row]).lower().endswith(TWIN)]
    if not rows:
        return clean
    known: dict[tuple[int, str], int] = {}
    for row in np.flatnonzero(~masked).tolist():
        known.setdefault((int(labels[row]), _stem(names[row])), row)
    for row in rows:
        stem = _stem(names[row])[: -len(TWIN)]
        for candidate in (stem, _without_condition(stem)):
            found = known.get((int(labels[row]), candidate))
            if found is not None:
                clean[row] = found
                break
    return clean


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _without_condition(stem: str) -> str:
    parts = list(PurePosixPath(stem).parts)
    for at in range(len(parts) - 2, -1, -1):
        if CONDITION_FOLDERS.get(parts[at].lower()) == "mask":
            del parts[at]
            break
    return str(PurePosixPath(*parts))
