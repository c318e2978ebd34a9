"""The faces that previews and galleries draw on: heads of the kit's own, or photographs that the
user names.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mfr_kit.data.alignment.align import SIZE, TEMPLATE, as_crop
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.face_set.faceset_files import ROWS
from mfr_kit.data.images import read_rgb
from mfr_kit.data.photographs.face_names import TWIN
from mfr_kit.data.photographs.folder_tree import FolderTree, readable
from mfr_kit.errors import KitError
from mfr_kit.masks import drawn_heads
from mfr_kit.seeding import rng_for

_TRIES = 4  # pictures without a usable face that are looked at for each face that is wanted
_NO_IMAGE, _NO_FACE = "not an image", "no face found"


@dataclass(frozen=True)
class Face:
    """A face to draw on: (H, W, 3) uint8 RGB and its (5, 2) landmarks."""

    image: np.ndarray
    landmarks: np.ndarray


@dataclass(frozen=True)
class FaceSource:
    """Where faces to draw on come from, and how their landmarks are found."""

    # a face set or of photographs, searched through; None: heads of the kit's own
    folder: Path | None = None
    aligned: bool = False  # the pictures are aligned crops: the template's landmarks
    detect: bool = False  # look for better landmarks than the template's


def load_faces(
    source: FaceSource, count: int, tile: int, seed: int, report: Callable[[str], None] = print
) -> list[Face]:
    """Take up to `count` faces of as many people as there are, or draw heads.

    Args:
        source: the folder and how to find faces in it.
        count: how many are wanted.
        tile: side of a picture in pixels; aligned crops stay 112.
        seed: same seed, same faces.
        report: takes the line that counts what was left out, if anything was.
    Raises:
        KitError: no such folder, no picture in it, or no face in any.
    """
    if source.folder is None:
        poses = rng_for(seed, 4).normal(0, (18, 7, 5), (count, 3))
        return [
            Face(*drawn_heads.draw(tile, yaw, pitch, roll, person))
            for person, (yaw, pitch, roll) in enumerate(poses)
        ]
    folder = source.folder
    if not folder.is_dir():
        what = "a file" if folder.exists() else "missing"
        raise KitError(f"--faces {folder} is {what}: give a folder of photographs")
    if (folder / ROWS).is_file():
        return _of_set(FaceSet.open(folder).clean(), count, seed)
    listing = FolderTree(folder).walk()
    # Masked twins, which lie in a face set beside their clean faces, would get a second mask.
    bare = [name for name in listing.files if not Path(name).stem.endswith(TWIN)]
    order = _by_turns([name.partition("/")[0] for name in bare], seed)
    left_out = [(row.source, row.reason) for row in listing.skipped if row.reason != "hidden"]
    pictures = _read_all(folder, [bare[i] for i in order], source, tile)
    faces = _first(pictures, count, left_out)
    note = _count(left_out)
    if not faces:
        faceless = any(reason == _NO_FACE for _, reason in left_out)
        hint = "; are they aligned crops (--aligned)?" if faceless else ""
        raise KitError(f"no face to draw on in {folder}: {note or 'it is empty'}{hint}")
    if note:
        report(f"{folder}: left out {note}")
    return faces


def _of_set(faces: FaceSet, count: int, seed: int) -> list[Face]:
    order = _by_turns([str(faces.people[label]) for label in faces.labels], seed)
    return [Face(faces.image(row), faces.points(row)) for row in order[:count]]


def _by_turns(people: list[str], seed: int) -> list[int]:
    """Shuffle rows so that everybody is shown once before anybody is shown again."""
    turns: Counter[str] = Counter()
    order: list[tuple[int, int, int]] = []
    for row in rng_for(seed, 5).permutation(len(people)):
        order.append((turns[people[row]], len(order), int(row)))
        turns[people[row]] += 1
    return [row for _, _, row in sorted(order)]


def _first(
    pictures: Iterator[tuple[str, Face | str]], count: int, left_out: list[tuple[str, str]]
) -> list[Face]:
    """Take the first faces; what is none goes to `left_out`, until there are too many pictures
    without a face.
    """
    faces: list[Face] = []
    faceless = 0
    for source, found in pictures:
        if isinstance(found, Face):
            faces.append(found)
        else:
            left_out.append((source, found))
            faceless += found != _NO_IMAGE
        if len(faces) == count or faceless == _TRIES * count:
            break
    return faces


def _read_all(
    folder: Path, names: list[str], source: FaceSource, tile: int
) -> Iterator[tuple[str, Face | str]]:
    """Read pictures one by one: each gives its face, or why it has none."""
    from mfr_kit.data.alignment.detect import load_detector
    from mfr_kit.data.alignment.detection import pick_face

    detector = load_detector() if source.detect or not source.aligned else None
    for name in names:
        try:
            image = read_rgb(folder / name)
        except KitError:
            yield name, _NO_IMAGE
            continue
        if source.aligned:
            crop = as_crop(image)
            if crop is None:
                yield name, f"not {SIZE}x{SIZE} (--aligned)"
                continue
            image = crop[0]
        found = detector.detect(image) if detector else []
        best = pick_face(found, image.shape[:2])
        if best is not None:
            yield name, Face(*_around(image, np.asarray(best.landmarks), tile))
        else:
            yield name, Face(image, TEMPLATE) if source.aligned else _NO_FACE


def _count(left_out: list[tuple[str, str]]) -> str:
    """Count pictures by why they were left out, with the first of each: "2 not an image (a.txt,
    ...), 1 no face found (b.jpg)".
    """
    parts = []
    for reason, number in Counter(reason for _, reason in left_out).items():
        first = min(source for source, why in left_out if why == reason)
        parts.append(
            f"{number} {reason.replace('_', ' ')} "
            f"({readable(first)}{', ...' if number > 1 else ''})"
        )
    return ", ".join(parts)


def _around(image: np.ndarray, landmarks: np.ndarray, tile: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut a square around a face and scale it to a tile."""
    centre, side = landmarks.mean(axis=0), 4.2 * float(np.ptp(landmarks, axis=0).max())
    scale = tile / side
    matrix = np.array(
        [[scale, 0, tile / 2 - scale * centre[0]], [0, scale, tile / 2 - scale * centre[1]]]
    )
    return cv2.warpAffine(image, matrix, (tile, tile), flags=cv2.INTER_AREA), landmarks @ matrix[
        :, :2
    ].T + matrix[:, 2]
