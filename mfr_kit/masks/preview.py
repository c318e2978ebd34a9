"""Contact sheets: every look on the same faces, one look over yaw, and a random draw, to be looked at."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mfr_kit import files
from mfr_kit.data.align import SIZE, TEMPLATE
from mfr_kit.data.images import encode, read_rgb
from mfr_kit.data.photos import TWIN
from mfr_kit.errors import KitError
from mfr_kit.masks import synthetic
from mfr_kit.masks.library import Library, Mask
from mfr_kit.masks.options import SheetOptions
from mfr_kit.masks.render import render
from mfr_kit.paths import check_output
from mfr_kit.seeding import rng_for

YAWS = (-60, -45, -30, -15, 0, 15, 30, 45, 60)
RANDOM = 64
_SUFFIXES = (".jpg", ".jpeg", ".png", ".pgm", ".webp", ".bmp")
SHEETS = ("looks", "yaw", "random")
_PER_ROW = 4


@dataclass(frozen=True)
class Face:
    """A face to draw on: (H, W, 3) uint8 RGB and its (5, 2) landmarks."""

    image: np.ndarray
    landmarks: np.ndarray


def write(library: Library, options: SheetOptions) -> list[Path]:
    """Write the sheets `NAME-looks`, `NAME-yaw` and `NAME-random` beside each other; returns their paths."""
    out = options.out
    if out.suffix.lower() not in (".png", ".jpg"):
        raise KitError(f"the sheets are written as .png or .jpg: '{out.name}' ends in neither")
    paths = {name: out.with_name(f"{out.stem}-{name}{out.suffix}") for name in SHEETS}
    for path in paths.values():
        check_output(path, "file", "OUT")
    faces = load_faces(options, 16)
    sheets = {
        "looks": looks_sheet(library, faces[:_PER_ROW], options.tile, options.seed),
        "yaw": yaw_sheet(library, options.tile, options.seed),
        "random": random_sheet(library, faces, options.tile, options.seed),
    }
    for name, sheet in sheets.items():
        files.write_bytes(paths[name], encode(sheet, out.suffix.lower()))
    return list(paths.values())


def looks_sheet(library: Library, faces: list[Face], tile: int, seed: int) -> np.ndarray:
    """One row of faces a look, several looks side by side."""
    rows = []
    for name, look in library.looks.items():
        for index, face in enumerate(faces):
            rng = rng_for(seed, 1, index)
            only = Library({name: look}, {name: 1.0}, library.mix)
            rows.append(_tile(face, only.draw(rng), rng, tile, name if index == 0 else ""))
    return grid(rows, 2 * len(faces))


def yaw_sheet(library: Library, tile: int, seed: int) -> np.ndarray:
    """The first look of each kind on one drawn head over yaw, worn right."""
    tiles = []
    for row, kind in enumerate(library.kinds):
        look = next(look for look in library.looks.values() if look.kind == kind)
        parameters = (
            Library({look.name: look}, {look.name: 1.0}, library.mix)
            .draw(rng_for(seed, 2, row))
            .parameters
        )
        straight = {
            "style": "right",
            "top": look.fit.top,
            "bottom": look.fit.bottom,
            "width": 1.0,
            "shift": 0.0,
            "tilt_deg": 0.0,
        }
        for yaw in YAWS:
            face = Face(*synthetic.draw(tile, yaw, person=row))
            tiles.append(
                _tile(
                    face,
                    Mask(look, parameters | straight),
                    rng_for(seed, 2, row),
                    tile,
                    kind if yaw == YAWS[0] else f"{yaw}",
                )
            )
    return grid(tiles, len(YAWS))


def random_sheet(library: Library, faces: list[Face], tile: int, seed: int) -> np.ndarray:
    """Draws from the library as training would make them."""
    tiles = []
    for index in range(RANDOM):
        rng = rng_for(seed, 3, index)
        mask = library.draw(rng)
        tiles.append(_tile(faces[index % len(faces)], mask, rng, tile, mask.look.name))
    return grid(tiles, 8)


def grid(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    """Lay equal tiles out in rows on white."""
    height, width = tiles[0].shape[:2]
    sheet = np.full((-(-len(tiles) // columns) * height, columns * width, 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * height, index % columns * width
        sheet[top : top + height, left : left + width] = tile
    return sheet


def load_faces(options: SheetOptions, count: int) -> list[Face]:
    """Take up to `count` faces, spread over the folder the user names, or draw heads.

    Raises:
        KitError: no picture there, or no face found in any.
    """
    if options.faces is None:
        poses = rng_for(options.seed, 4).normal(0, (18, 7, 5), (count, 3))
        return [
            Face(*synthetic.draw(options.tile, *pose, person=person))
            for person, pose in enumerate(poses)
        ]
    paths = sorted(
        path
        for path in Path(options.faces).rglob("*")
        if path.suffix.lower() in _SUFFIXES and not path.stem.endswith(TWIN)
    )
    if not paths:
        raise KitError(f"no picture in {options.faces}: it holds none of {', '.join(_SUFFIXES)}")
    order = rng_for(options.seed, 5).permutation(len(paths))
    faces, unreadable = [], []
    for face in _usable((paths[i] for i in order), options, 4 * count, unreadable):
        faces.append(face)
        if len(faces) == count:
            break
    if unreadable:
        count_text = f"{len(unreadable)} of the pictures cannot be read and were passed over"
        print(f"{count_text}, the first is {unreadable[0]}", file=sys.stderr)
    if not faces:
        if len(unreadable) == len(paths):
            raise KitError(f"no picture in {options.faces} can be read: {unreadable[0]}")
        raise KitError(
            f"no face found in {min(len(paths) - len(unreadable), 4 * count)} pictures of {options.faces}; "
            "are they aligned crops (--aligned)?"
        )
    return faces


def _usable(
    paths: Iterator[Path], options: SheetOptions, most: int, unreadable: list[KitError]
) -> Iterator[Face]:
    """Look for faces in up to `most` pictures; what is no picture is added to `unreadable`."""
    from mfr_kit.data.detect import load_detector, pick_face

    detector = load_detector() if options.detect or not options.aligned else None
    for path in paths:
        if most == 0:
            return
        try:
            image = read_rgb(path)
        except KitError as error:
            unreadable.append(error)
            continue
        most -= 1
        if options.aligned and image.shape[:2] != (SIZE, SIZE):
            raise KitError(
                f"{path} is {image.shape[1]}x{image.shape[0]}: --aligned takes {SIZE}x{SIZE} crops"
            )
        found = detector.detect(image) if detector else []
        if found:
            best = pick_face(found, image.shape[:2])
            yield Face(*_around(image, np.asarray(best.landmarks), options.tile))
        elif options.aligned:
            yield Face(image, TEMPLATE)


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


def _tile(face: Face, mask: Mask, rng: np.random.Generator, tile: int, caption: str) -> np.ndarray:
    masked, _ = render(face.image, face.landmarks, mask, rng)
    masked = (
        cv2.resize(masked, (tile, tile), interpolation=cv2.INTER_CUBIC)
        if masked.shape[0] != tile
        else masked
    )
    cv2.putText(masked, caption, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 2, cv2.LINE_AA)
    cv2.putText(
        masked, caption, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (255, 255, 255), 1, cv2.LINE_AA
    )
    return masked
