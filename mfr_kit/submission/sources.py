"""Where the faces of a feature file come from: a face set, or a text file that lists aligned images. Order is kept."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfr_kit.data import images
from mfr_kit.data.align import SIZE
from mfr_kit.data.faceset import ROWS, FaceSet
from mfr_kit.errors import KitError


@dataclass(frozen=True)
class Source:
    """Faces by row: `names` as listed, `load(row)` gives (112, 112, 3) uint8 RGB, `fingerprint` changes with names and files."""

    names: list[str]
    load: Callable[[int], np.ndarray]
    fingerprint: str

    def read(self, start: int, stop: int, pool: ThreadPoolExecutor | None = None) -> np.ndarray:
        """Rows start..stop (cut at the end) as (B, 112, 112, 3) uint8 RGB; decoding runs in the pool if one is given."""
        rows = range(start, min(stop, len(self.names)))
        return np.stack(list((pool.map if pool else map)(self.load, rows)))


def open_source(path: Path) -> Source:
    """Open a face set folder or a list of images, one a line, relative to the list's folder.

    Raises:
        KitError: neither of the two, or an empty one.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / ROWS).is_file():
            raise KitError(
                f"{path} is no face set (no {ROWS}): give a face set, or a text file that lists aligned images"
            )
        faces = FaceSet.open(path)
        source = Source(
            list(faces.keys),
            lambda row: _aligned(faces.image(row), str(path / faces.keys[row])),
            faces.fingerprint,
        )
    else:
        names = _lines(path)
        source = Source(
            names, lambda row: _listed(path.parent, names[row]), _fingerprint(path.parent, names)
        )
    if not source.names:
        raise KitError(f"{path} lists no image")
    return source


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise KitError(f"cannot read the list of images {path}: {error}") from None
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _fingerprint(folder: Path, names: list[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        try:
            told = (folder / name).stat()
        except OSError as error:
            raise KitError(
                f"{folder / name}: listed but cannot be read ({error.strerror})"
            ) from None
        digest.update(f"{name} {told.st_size} {told.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _listed(folder: Path, name: str) -> np.ndarray:
    return _aligned(images.read_rgb(folder / name), str(folder / name))


def _aligned(face: np.ndarray, where: str) -> np.ndarray:
    if face.shape != (SIZE, SIZE, 3):
        raise KitError(
            f"{where}: {face.shape[1]}x{face.shape[0]} pixels; features are of aligned {SIZE}x{SIZE} faces: make them with `kit.py augment`"
        )
    return face
