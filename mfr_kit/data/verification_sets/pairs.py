"""Verification pairs: which two images, and whether they show one person. The file formats are
in `pair_formats/`, one a file.
"""

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfr_kit import files, registry
from mfr_kit.data.alignment.align import SIZE
from mfr_kit.data.face_set.faceset import NONMASK, FaceSet
from mfr_kit.data.images import SUFFIXES, decode_rgb
from mfr_kit.data.named_files import read_named, refuse_outside
from mfr_kit.data.training_set import suffix_of
from mfr_kit.errors import KitError

FORMATS = "mfr_kit.data.verification_sets.pair_formats"
FOLDS = 10


@dataclass(frozen=True)
class PairSet:
    """P pairs of M images; images are read when asked for."""

    path: Path
    names: Sequence[str]  # (M,) images
    left: np.ndarray  # (P,) int64 rows of `names`
    right: np.ndarray  # (P,) int64
    same: np.ndarray  # (P,) bool
    left_masked: np.ndarray | None  # (P,) bool; None where the file does not say
    right_masked: np.ndarray | None
    encoded: Callable[[int], bytes]  # the image file

    def __len__(self) -> int:
        return len(self.same)

    @property
    def folds(self) -> np.ndarray:
        """(P,) 0 .. 9: ten runs of consecutive pairs, not shuffled, as the published protocols
        have them.
        """
        return np.concatenate(
            [np.full(len(run), fold) for fold, run in enumerate(np.array_split(self.same, FOLDS))]
        )

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Decode the images in order, (B, H, W, 3) uint8 RGB at a time, so that a set of any length
        fits into memory.

        Raises:
            KitError: an image that cannot be decoded, or images of several sizes.
        """
        shape = None
        for start in range(0, len(self.names), size):
            rows = range(start, min(start + size, len(self.names)))
            faces = [
                decode_rgb(self.encoded(row), f"{self.path}: {self.names[row]}") for row in rows
            ]
            shape = shape or faces[0].shape
            for row, face in zip(rows, faces, strict=True):
                if face.shape != shape:
                    found = f"{face.shape[1]}x{face.shape[0]}, others are {shape[1]}x{shape[0]}"
                    raise KitError(
                        f"{self.path}: {self.names[row]} is {found}; align all with `kit.py "
                        "augment`"
                    )
            yield np.stack(faces)


def open_pairs(
    path: Path,
    images: Path | None = None,
    format: str | None = None,
    allow_outside: bool = False,
) -> PairSet:
    """Open a file of pairs, its format told by its name and content unless given.

    Args:
        path: a `.bin`, LFW's or MLFW's `pairs.txt`, or a `pairs.csv`.
        images: what a text file's names are relative to: a folder or a face set; by default the
            file's own folder.
        format: a name of `pair_formats`.
        allow_outside: take images from outside of the folder, where a name or a link leads there.
    Raises:
        KitError: no such file, unknown format, a damaged line (named by number), or an image that
            is not there.
    """
    path = Path(path)
    if not path.is_file():
        kind = "a folder: give the file that lists its pairs" if path.is_dir() else "not there"
        raise KitError(f"{path} is {kind}; pairs are read from one file")
    known = registry.names(FORMATS)
    chosen = format or next(
        (name for name in known if registry.get(FORMATS, name).recognises(path)), None
    )
    if chosen is None:
        raise KitError(
            f"{path}: no pairs that the kit knows ({', '.join(known)}); lines like `image image "
            "1` are, with 0 for two people"
        )
    pairs = registry.get(FORMATS, chosen).open_pairs(path, images, allow_outside)
    if not len(pairs):
        raise KitError(f"{path} holds no pairs")
    return pairs


def from_rows(
    path: Path,
    images: Path | None,
    rows: Iterable[tuple],
    masked: bool = False,
    allow_outside: bool = False,
) -> PairSet:
    """Build a set from rows (line number, left, right, same[, left masked, right masked]), finding
    every image at once.

    Raises:
        KitError: no rows, or an image that is not there or outside of the folder; names the line.
    """
    folder = Path(images) if images else path.parent
    hint = (
        "its skipped.csv says why"
        if (folder / "skipped.csv").exists()
        else "say where with --images"
    )
    find, encoded, names = _images(folder, allow_outside)
    in_folder = isinstance(find, _Files) and not allow_outside
    numbers: dict[Any, int] = {}
    sides: tuple[list[int], list[int]] = ([], [])
    missing: dict[str, int] = {}
    flags = []
    for line, left, right, *more in rows:
        if in_folder:
            refuse_outside(((line, left), (line, right)), folder, path)
        for name, side in ((left, sides[0]), (right, sides[1])):
            found = find(name)
            if found is None:
                missing.setdefault(name, line)
            side.append(numbers.setdefault(found, len(numbers)))
        flags.append(more)
    if missing:
        name, line = next(iter(missing.items()))
        others = f" ({len(missing)} images of the list are missing)" if len(missing) > 1 else ""
        raise KitError(
            f"{path}: line {line}: there is no image {name[:200]} in {folder}{others}; {hint}"
        )
    if not flags:
        raise KitError(f"{path} holds no pairs")
    columns = np.array(flags, bool).T
    where = list(numbers)
    left, right = (np.array(side, np.int64) for side in sides)
    shown = [names(item) for item in where]
    left_masked, right_masked = columns[1:3] if masked else (None, None)
    return PairSet(
        path,
        shown,
        left,
        right,
        columns[0],
        left_masked,
        right_masked,
        lambda row: encoded(where[row]),
    )


def _images(root: Path, allow_outside: bool) -> tuple[Callable, Callable, Callable]:
    """Return how to find an image by name (with or without suffix), how to read what was found,
    and its name.
    """
    if not root.is_dir():
        raise KitError(f"{root} is not a folder of images and not a face set")
    if not (root / "faces.parquet").exists():
        return _Files(root), lambda name: read_named(root, name, root, allow_outside), str
    faces = FaceSet.open(root)
    rows: dict[str, int] = {}
    # a photograph's name means its clean face; a key means itself
    for row in np.argsort(faces.conditions != NONMASK, kind="stable"):
        for name in (
            faces.keys[row],
            faces.sources[row],
            str(Path(faces.sources[row]).with_suffix("")),
        ):
            rows.setdefault(name, int(row))
    return rows.get, faces.encoded, lambda row: faces.keys[row]


class _Files:
    """Find an image below a folder by its path, with or without its suffix, which may be in
    capitals there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[Path, dict[str, dict[str, str]]] = {}

    def __call__(self, name: str) -> str | None:
        """Return the image's path below the folder, None where there is none."""
        path = Path(name.replace("\\", "/"))
        if not path.name:
            return None
        if path.suffix.lower() in SUFFIXES and os.path.isfile(self.root / path):
            return str(path)
        stem, suffix = path.name, ""
        if path.suffix.lower() in SUFFIXES:
            stem, suffix = path.stem, path.suffix.lower()
        there = self._images(path.parent).get(stem, {})
        wanted = (suffix,) if suffix else (".jpg", ".png", *sorted(SUFFIXES))
        found = next((there[end] for end in wanted if end in there), None)
        return None if found is None else str(path.parent / found)

    def _images(self, folder: Path) -> dict[str, dict[str, str]]:
        """Stem -> suffix in small letters -> file name, of the images in a folder."""
        if folder not in self._folders:
            found: dict[str, dict[str, str]] = {}
            here = self.root / folder
            for item in sorted(here.iterdir()) if os.path.isdir(here) else ():
                if item.suffix.lower() in SUFFIXES and os.path.isfile(item):
                    found.setdefault(item.stem, {}).setdefault(item.suffix.lower(), item.name)
            self._folders[folder] = found
        return self._folders[folder]


def pack_pairs(pairs: PairSet, dst: Path, any_size: bool = False) -> int:
    """Write a verification `.bin` and compare what is in it with what was read.

    Raises:
        KitError: an image that is not 112x112 (unless `any_size`), a name without .bin, or a copy
            that differs.
    """
    if dst.suffix.lower() != ".bin":
        raise KitError(f"{dst}: the name of a verification set ends in .bin")
    if dst.exists():
        raise KitError(f"{dst} exists already: choose another name or delete it")
    for row in range(0 if any_size else len(pairs.names)):
        height, width, _ = decode_rgb(pairs.encoded(row), f"{pairs.path}: {pairs.names[row]}").shape
        if (height, width) != (SIZE, SIZE):
            hint = (
                "align the photographs with `kit.py augment` and give the face set as --images, "
                "or allow it with --any-size"
            )
            raise KitError(
                f"{pairs.path}: {pairs.names[row]} is {width}x{height}, not {SIZE}x{SIZE}: {hint}"
            )
    module = registry.get(FORMATS, "bin")
    module.write_pairs(dst, pairs)
    written = module.open_pairs(dst)
    for number, (left, right, same) in enumerate(
        zip(pairs.left, pairs.right, pairs.same, strict=True)
    ):
        images = written.encoded(2 * number), written.encoded(2 * number + 1)
        if images != (pairs.encoded(left), pairs.encoded(right)) or written.same[number] != same:
            raise KitError(
                f"{dst}: pair {number} differs from what was read from {pairs.path}; do not use it"
            )
    return len(pairs)


def unpack_pairs(pairs: PairSet, dst: Path) -> int:
    """Write the images into a new folder and a `pairs.csv` beside them.

    Raises:
        KitError: the folder exists.
    """
    if dst.exists():
        raise KitError(f"{dst} exists already: choose another name or delete it")
    with files.building(dst) as folder:
        (folder / "images").mkdir()
        names = []
        for row, name in enumerate(pairs.names):
            data = pairs.encoded(row)
            names.append(f"images/{row:06d}{suffix_of(data, f'{pairs.path}: {name}')}")
            (folder / names[-1]).write_bytes(data)
        copied = dataclasses.replace(pairs, names=names)
        registry.get(FORMATS, "pairs-csv").write_pairs(folder / "pairs.csv", copied)
    return len(pairs)
