"""Where the faces of a feature file come from: a face set, or a text file that lists aligned
images. Order is kept.
"""

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfr_kit.data import images, lists
from mfr_kit.data.alignment.align import SIZE
from mfr_kit.data.face_set.faceset import ROWS, FaceSet
from mfr_kit.data.named_files import read_named, refuse_outside
from mfr_kit.errors import KitError

ELSEWHERE = "; put the list beside its images, or give a face set"


@dataclass(frozen=True)
class Source:
    """Faces by row: `names` as listed, `load(row)` gives (112, 112, 3) uint8 RGB, `fingerprint`
    changes with names and files.
    """

    names: list[str]
    load: Callable[[int], np.ndarray]
    fingerprint: str

    def read(self, start: int, stop: int, pool: ThreadPoolExecutor | None = None) -> np.ndarray:
        """Rows start..stop (cut at the end) as (B, 112, 112, 3) uint8 RGB; decoding runs in the
        pool if one is given.
        """
        rows = range(start, min(stop, len(self.names)))
        return np.stack(list((pool.map if pool else map)(self.load, rows)))


def open_source(path: Path, allow_outside: bool = False, hint: str = ELSEWHERE) -> Source:
    """Open a face set folder or a list of images, one a line, relative to the list's folder.

    Args:
        path: of either.
        allow_outside: take images from outside of the list's folder.
        hint: what to do about such images, where they are not allowed.
    Raises:
        KitError: neither of the two, an empty one, or an image outside of the list's folder.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / ROWS).is_file():
            raise KitError(
                f"{path} is no face set (no {ROWS}): give a face set, or a text file that lists "
                "aligned images"
            )
        faces = FaceSet.open(path)
        source = Source(
            list(faces.keys),
            lambda row: _aligned(faces.image(row), str(path / faces.keys[row])),
            faces.fingerprint,
        )
    else:
        names = _lines(path, allow_outside, hint)

        def load(row: int) -> np.ndarray:
            data = read_named(path.parent, names[row], path, allow_outside, hint)
            where = str(path.parent / names[row])
            return _aligned(images.decode_rgb(data, where), where)

        source = Source(names, load, _fingerprint(path.parent, names))
    if not source.names:
        raise KitError(f"{path} lists no image")
    return source


def _lines(path: Path, allow_outside: bool, hint: str) -> list[str]:
    """Read the images that a list names, as their paths inside the list's folder.

    Raises:
        KitError: images that are not there: the first ones are named, with what may be meant; or
            one outside of the folder.
    """
    names, missing = [], []
    for number, line in lists.read_lines(path, "the list of images"):
        name = next(
            (form for form in _spellings(line, path.parent) if os.path.isfile(path.parent / form)),
            None,
        )
        if name is not None:
            if not allow_outside:
                refuse_outside([(number, name)], path.parent, path, hint)
            names.append(name)
        elif not line.lstrip().startswith("#"):
            missing.append((f"line {number}", line.strip()))
    if missing:
        named = lists.unknown_of(missing, lambda entry: _beside(path.parent, entry))
        raise KitError(
            f"{path}: {len(missing):,} of {len(missing) + len(names):,} images are not there: "
            f"{named}. Every line is a row of the features: mend the list"
        )
    return names


def _spellings(line: str, folder: Path) -> Iterator[str]:
    """What a line may mean, in the forms in which a file system may have the name."""
    for form in lists.readings(line, folder):
        yield form
        yield unicodedata.normalize("NFD", form)


def _beside(folder: Path, entry: str) -> list[str]:
    """The files in the folder that an entry names, as paths inside the list's."""
    parent = (folder / entry.replace("\\", "/")).parent
    try:
        return [os.path.relpath(item, folder) for item in parent.iterdir()]
    except OSError:
        return []


def _fingerprint(folder: Path, names: list[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        try:
            status = (folder / name).stat()
        except OSError as error:
            raise KitError(
                f"{folder / name}: listed but cannot be read ({error.strerror})"
            ) from None
        state = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
        digest.update(f"{name} {state}\n".encode())
    return digest.hexdigest()


def _aligned(face: np.ndarray, where: str) -> np.ndarray:
    if face.shape != (SIZE, SIZE, 3):
        raise KitError(
            f"{where}: {face.shape[1]}x{face.shape[0]} pixels; features are of aligned "
            f"{SIZE}x{SIZE} faces: make them with `kit.py augment`"
        )
    return face
