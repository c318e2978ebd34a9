"""Contact sheets: every look on the same faces, one look over yaw, and a random draw, to be
looked at.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mfr_kit import files
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.masks import drawn_heads
from mfr_kit.masks.library import Library, Mask
from mfr_kit.masks.render import render
from mfr_kit.masks.sheet_faces import Face, FaceSource, load_faces
from mfr_kit.paths import check_output
from mfr_kit.registry import unknown
from mfr_kit.seeding import rng_for

YAWS = (-60, -45, -30, -15, 0, 15, 30, 45, 60)
RANDOM = 64
_SUFFIXES = (".png", ".jpg", ".jpeg")
_FACES = 16
GAP = 12  # pixels between two sheets
SHEETS = ("looks", "yaw", "kinds", "random")
_PER_ROW = 4


def write(
    library: Library,
    out: Path,
    sheets: list[str] | None,
    source: FaceSource,
    tile: int,
    seed: int,
    report: Callable[[str], None] = print,
) -> Path:
    """Write the sheets into one picture, one below the other; returns its path.

    Args:
        library: what to draw.
        out: a .png or .jpg.
        sheets: those of `SHEETS` to write; None for all.
        source: the faces to draw on.
        tile: side of a picture in pixels.
        seed: same seed, same sheets.
        report: takes the line that says which pictures were left out, if any.
    Raises:
        KitError: another suffix or no such sheet, or see `sheet_faces.load_faces`.
    """
    if out.suffix.lower() not in _SUFFIXES:
        raise KitError(
            f"the sheets are pictures: OUT must end in .png or .jpg, '{out.name}' does not"
            + (f"; for sheets inside that folder give {out / 'sheet.png'}" if out.is_dir() else "")
        )
    form = ".png" if out.suffix.lower() == ".png" else ".jpg"
    for name in sheets or ():
        if name not in SHEETS:
            raise KitError(unknown("sheet", name, list(SHEETS)))
    wanted = [name for name in SHEETS if name in (sheets or SHEETS)]
    check_output(out, "file", "OUT")
    faces = load_faces(source, _FACES, tile, seed, report)
    draw = {
        "looks": lambda: looks_sheet(library, faces[:_PER_ROW], tile, seed),
        "yaw": lambda: yaw_sheet(library, tile, seed),
        "kinds": lambda: kinds_sheet(library, faces, tile, seed),
        "random": lambda: random_sheet(library, faces, tile, seed),
    }
    files.write_bytes(out, encode(_stack([draw[name]() for name in wanted]), form))
    return out


def _stack(sheets: list[np.ndarray]) -> np.ndarray:
    """Lay sheets of several widths one below the other, on white and with a gap."""
    width = max(sheet.shape[1] for sheet in sheets)
    rows = []
    for sheet in sheets:
        right = ((0, 0), (0, width - sheet.shape[1]), (0, 0))
        rows += [np.full((GAP, width, 3), 255, np.uint8), np.pad(sheet, right, constant_values=255)]
    return np.concatenate(rows[1:])


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
            face = Face(*drawn_heads.draw(tile, yaw, person=row))
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


def kinds_sheet(library: Library, faces: list[Face], tile: int, seed: int) -> np.ndarray:
    """Every kind once, in a look and a fit as training would draw them."""
    tiles = []
    for index, kind in enumerate(library.kinds):
        rng = rng_for(seed, 4, index)
        names = [name for name, look in library.looks.items() if look.kind == kind]
        shares = {name: library.shares[name] for name in names}
        only = Library({name: library.looks[name] for name in names}, shares, library.mix)
        tiles.append(_tile(faces[index % len(faces)], only.draw(rng), rng, tile, kind))
    return grid(tiles, 8)


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


def _tile(face: Face, mask: Mask, rng: np.random.Generator, tile: int, caption: str) -> np.ndarray:
    masked, _ = render(face.image, face.landmarks, mask, rng)
    masked = (
        cv2.resize(masked, (tile, tile), interpolation=cv2.INTER_CUBIC)
        if masked.shape[0] != tile
        else masked
    )
    return write_caption(masked, caption)


def write_caption(picture: np.ndarray, text: str) -> np.ndarray:
    """Write a line into the upper left corner of a picture, in place; returns it."""
    for colour, thickness in (((0, 0, 0), 2), ((255, 255, 255), 1)):
        cv2.putText(
            picture, text, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.38, colour, thickness, cv2.LINE_AA
        )
    return picture
