"""Contact sheets of harvested masks: the face with the outline that was found, the texture, and the
look on heads that the kit draws.
"""

import cv2
import numpy as np

from mfr_kit.masks import drawn_heads
from mfr_kit.masks.harvest.face import Harvested
from mfr_kit.masks.harvest.outline import CENTRE
from mfr_kit.masks.library import Library
from mfr_kit.masks.preview import grid, write_caption
from mfr_kit.masks.render import render
from mfr_kit.seeding import rng_for

LOOKS = 30
"""On a sheet."""
_TILE, _ACROSS = 160, 3  # pixels of a picture; looks beside each other
_HEADS = ((-12.0, 2.0, 0.0), (28.0, 4.0, 3.0))  # yaw, pitch and roll in degrees
_OUTLINE = (255, 40, 40)


def show_source(harvested: Harvested) -> np.ndarray:
    """Show a face with its outline: (160, 160, 3) uint8 RGB."""
    u, v = np.nan_to_num(harvested.view.chart, nan=1e4) - CENTRE[:, None, None]
    radii = harvested.outline.radii
    angles = np.arange(len(radii)) * (2 * np.pi / len(radii))
    radius = np.interp(np.arctan2(v, u) % (2 * np.pi), angles, radii, period=2 * np.pi)
    inside = (np.hypot(u, v) < radius).astype(np.uint8)
    picture = harvested.view.shown.copy()
    lines = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(picture, lines, -1, _OUTLINE, 2 * picture.shape[0] // _TILE)
    return cv2.resize(picture, (_TILE, _TILE), interpolation=cv2.INTER_AREA)


def make(library: Library, sources: dict[str, np.ndarray], seed: int = 0) -> np.ndarray:
    """Make a sheet: four pictures a look.

    Args:
        library: that holds the looks.
        sources: what `show_source` gave, by the look's name; up to `LOOKS`.
        seed: same seed, same sheet.
    Returns:
        (H, W, 3) uint8 RGB.
    """
    tiles = []
    for index, (name, source) in enumerate(sources.items()):
        look = library.looks[name]
        tiles += [write_caption(source.copy(), name), _show_texture(look.levels[0])]
        only = Library({name: look}, {name: 1.0}, library.mix)
        for number, (yaw, pitch, roll) in enumerate(_HEADS):
            rng = rng_for(seed, 8, index, number)
            head, landmarks = drawn_heads.draw(_TILE, yaw, pitch, roll, person=index + number)
            tiles.append(render(head, landmarks, only.draw(rng), rng)[0])
    return grid(tiles, (2 + len(_HEADS)) * _ACROSS)


def _show_texture(rgba: np.ndarray) -> np.ndarray:
    """Lay a texture over grey squares, in the middle of a tile."""
    scale = (_TILE - 8) / max(rgba.shape[:2])
    size = [max(round(length * scale), 1) for length in rgba.shape[1::-1]]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(rgba, size, interpolation=way).astype(np.float32)
    rows, columns = np.mgrid[:_TILE, :_TILE] // 8
    tile = np.where((rows + columns) % 2, 190, 150)[..., None].repeat(3, axis=2).astype(np.float32)
    top, left = (_TILE - size[1]) // 2, (_TILE - size[0]) // 2
    place = tile[top : top + size[1], left : left + size[0]]
    place += (small[..., :3] - place) * (small[..., 3:] / 255)
    return np.rint(tile).astype(np.uint8)
