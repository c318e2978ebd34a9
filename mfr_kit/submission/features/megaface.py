"""MegaFace: a folder with one file an image, `<image>_<algorithm>.bin`, folders kept: int32 `D,
1, 4, 5`, then D float32.
"""

from pathlib import Path, PurePosixPath

import numpy as np

from mfr_kit.errors import KitError

SUFFIX = ".megaface"
FLIP, NORMALISE = True, True
ALGORITHM = "mfrkit"
FLOAT32 = 5  # OpenCV's CV_32F


def write(path: Path, names: list[str], rows: np.ndarray) -> None:
    """Write (N, D) float32 rows into a new folder.

    Raises:
        KitError: a listed name would lie outside the folder, or two rows would share a file.
    """
    files = [_file(path, name) for name in names]
    if len(set(files)) != len(files):
        raise KitError("the list names an image twice: MegaFace keeps one file for each image")
    path.mkdir()
    header = np.array([rows.shape[1], 1, 4, FLOAT32], "<i4").tobytes()
    for file, row in zip(files, rows, strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(header + row.astype("<f4").tobytes())


def read(path: Path, names: list[str]) -> np.ndarray:
    """Read (N, D) float32 back, in the order of the names.

    Raises:
        KitError: a file is missing, its header is not that of a column vector, or it is
            not as long as the others.
    """
    files = [_file(path, name) for name in names]
    rows = [_vector(file) for file in files]
    for file, row in zip(files, rows, strict=True):
        if len(row) != len(rows[0]):
            raise KitError(f"{file}: {len(row)} numbers, but {len(rows[0])} in {files[0]}")
    return np.stack(rows)


def _vector(file: Path) -> np.ndarray:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise KitError(f"{file}: cannot be read ({error.strerror})") from None
    header = np.frombuffer(data[:16], "<i4") if len(data) >= 16 else np.zeros(4, "<i4")
    if header[1:].tolist() != [1, 4, FLOAT32] or len(data) != 16 + 4 * int(header[0]):
        raise KitError(
            f"{file}: {len(data)} bytes with header {header.tolist()}, not a MegaFace vector (D, "
            "1, 4, 5)"
        )
    return np.frombuffer(data[16:], "<f4")


def _file(folder: Path, name: str) -> Path:
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts:
        raise KitError(
            f"'{name}' lies outside the list's folder: MegaFace keeps the folders of the list"
        )
    return folder / f"{inside}_{ALGORITHM}.bin"
