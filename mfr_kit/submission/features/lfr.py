"""The LFR 2019 matrix: four little-endian int32 `rows, cols, cols * 4, 5`, then the float32
rows; image and mirror summed, unit length.
"""

from pathlib import Path

import numpy as np

from mfr_kit.errors import KitError

SUFFIX = ".bin"
FLIP, NORMALISE = True, True
FLOAT32 = 5  # OpenCV's CV_32F


def write(path: Path, names: list[str], rows: np.ndarray) -> None:
    """Write (N, D) float32 rows."""
    with path.open("wb") as file:
        file.write(np.array([*rows.shape, rows.shape[1] * 4, FLOAT32], "<i4").tobytes())
        for start in range(0, len(rows), 4096):
            file.write(rows[start : start + 4096].astype("<f4").tobytes())


def read(path: Path, names: list[str]) -> np.ndarray:
    """Read them back, mapped rather than loaded.

    Raises:
        KitError: a header that is not one, or a file that is too short or too long for it.
    """
    header = np.fromfile(path, "<i4", 4).astype(np.int64)  # int32 would wrap below
    if len(header) < 4 or header[2] != header[1] * 4 or header[3] != FLOAT32 or header.min() < 1:
        raise KitError(
            f"{path}: header {header.tolist()} is not that of an LFR matrix (rows, cols, cols * "
            "4, 5)"
        )
    wanted = 16 + int(header[0]) * int(header[2])
    if path.stat().st_size != wanted:
        raise KitError(f"{path}: {path.stat().st_size} bytes, its header promises {wanted}")
    return np.memmap(path, "<f4", "r", 16, (int(header[0]), int(header[1])))
