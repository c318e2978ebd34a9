"""The photograph's own grade, so that a mask is no sharper and no cleaner than the face around
it: blur, grain, JPEG blocks.
"""

from dataclasses import dataclass

import cv2
import numpy as np

_QUARTILE = 0.3186 * 20**0.5  # lower quartile of |Laplacian| of white noise of standard deviation 1
_SKIN_GRAIN = 2.2  # what clean, sharp skin measures
# mean |Laplacian| of rounding to whole levels: what is left of the finest detail once all of it is
# blurred away
_ROUNDING = 1.2
# fitted on LFW faces of known sharpness, blurred by 0.5, 0.8 and 1 pixels
_SHARP_RATIO, _BLURRED_RATIO, _BLUR_SLOPE = 0.485, 0.315, 6.5
# and by more, at half the size
_SOFT_RATIO, _SOFT_BLUR = (0.313, 0.328, 0.345, 0.37, 0.40, 0.46), (4.0, 3.0, 2.5, 2.0, 1.5, 1.0)
_EXCESS, _QUALITY = (1.12, 1.2, 1.5, 1.85), (90, 75, 40, 20)
_TILE = 192
GRAIN_STRENGTH = 32.0
_SPAN = 44
GRAIN = np.clip(
    np.random.default_rng(3).standard_normal((2 * _TILE, 2 * _TILE, 1)) * GRAIN_STRENGTH + 128,
    0,
    255,
).astype(np.uint8)
GRAIN = np.repeat(GRAIN, 3, axis=2)  # about 128, equal in the three channels


@dataclass(frozen=True)
class Grade:
    """Blur (sigma in pixels, 0 for a sharp photo) and grain (standard deviation in 0..255)."""

    blur: float
    grain: float


@dataclass(frozen=True)
class Grain:
    """Grain of a standard deviation in 0..255 (0 for none), and the corner of the tile that it
    is taken from.
    """

    strength: float
    row: int
    column: int


def measure(region: np.ndarray) -> Grade:
    """Estimate blur and grain of a face region, (H, W, 3) uint8.

    Blur comes from how much of the fine detail survives against the detail one octave coarser;
    grain from the Laplacian's lower quartile, where the face is smooth.
    """
    height, width = region.shape[:2]
    # the middle of a large region says enough
    rows, columns = min(height, _SPAN), min(width, _SPAN)
    top, left = (height - rows) // 2, (width - columns) // 2
    green = cv2.extractChannel(region[top : top + rows, left : left + columns], 1)
    detail = cv2.Laplacian(green, cv2.CV_16S)
    sample = np.abs(detail[::3, ::4]).ravel()
    sample.partition(len(sample) // 4)
    grain = float(sample[len(sample) // 4]) / _QUARTILE
    return Grade(_blur(green, detail), min(max(grain**2 - _SKIN_GRAIN**2, 0.0) ** 0.5, 20.0))


def _blur(image: np.ndarray, detail: np.ndarray) -> float:
    """Sigma in pixels; where nothing but rounding is left of the finest detail (more than one
    pixel) ask the next two octaves.
    """
    half, coarse = _octave(image)
    ratio = _strength(detail) / max(_strength(coarse), 1e-3)
    if ratio >= _BLURRED_RATIO or min(half.shape) < 12:
        return min(max(_BLUR_SLOPE * (_SHARP_RATIO - ratio), 0.0), 1.2)
    _, coarser = _octave(half)
    return float(
        np.interp(_strength(coarse) / max(_strength(coarser), 1e-3), _SOFT_RATIO, _SOFT_BLUR)
    )


def _octave(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Half the image's size, and the Laplacian there."""
    half = cv2.resize(
        image,
        (max(image.shape[1] // 2, 2), max(image.shape[0] // 2, 2)),
        interpolation=cv2.INTER_LINEAR,
    )
    return half, cv2.Laplacian(half, cv2.CV_16S)


def _strength(detail: np.ndarray) -> float:
    """Mean of |Laplacian| without what rounding adds to it."""
    return max((cv2.norm(detail, cv2.NORM_L1) / detail.size) ** 2 - _ROUNDING**2, 0.0) ** 0.5


def place_grain(strength: float, rng: np.random.Generator) -> Grain:
    """Choose where on the tile the grain of a mask is taken; too little to be seen is none."""
    if strength < 0.7:
        return Grain(0.0, 0, 0)
    row, column = int(rng.random() * _TILE), int(rng.random() * _TILE)
    return Grain(strength, row, column)


def add_grain(colour: np.ndarray, grain: Grain) -> None:
    """Lay grain over (H, W, 3) uint8 colours, in place."""
    if not grain.strength:
        return
    height, width = colour.shape[:2]
    tile = GRAIN[grain.row : grain.row + height, grain.column : grain.column + width]
    if tile.shape != colour.shape:  # a region larger than the tile: repeat it
        tile = np.tile(GRAIN, (-(-height // (2 * _TILE)), -(-width // (2 * _TILE)), 1))[
            :height, :width
        ]
    share = grain.strength / GRAIN_STRENGTH
    cv2.addWeighted(colour, 1.0, tile, share, -128 * share, dst=colour)


def jpeg_quality(region: np.ndarray, left: int, top: int) -> int | None:
    """Guess the JPEG quality of a photograph from how much its values jump at every eighth pixel.

    Args:
        region: (H, W, 3) uint8, part of the photograph in its own pixels (an aligned crop has lost
            the grid).
        left: the region's column in the photograph.
        top: its row.
    Returns:
        A quality in 20..90 (fitted on recompressed LFW photos), or None where no grid shows.
    """
    green = region[..., 1].astype(np.int16)
    excess = 0.0
    for axis, start in ((1, left), (0, top)):
        jumps = np.abs(np.diff(green, axis=axis)).sum(axis=1 - axis)
        on_grid = (np.arange(len(jumps)) + start + 1) % 8 == 0
        if not on_grid.any() or on_grid.all():
            return None
        excess += 0.5 * float(jumps[on_grid].mean()) / max(float(jumps[~on_grid].mean()), 1.0)
    return round(float(np.interp(excess, _EXCESS, _QUALITY))) if excess > _EXCESS[0] else None


def recompress(
    image: np.ndarray, coverage: np.ndarray, box: tuple[int, int, int, int], quality: int
) -> None:
    """Pass what the mask covers through JPEG on the photograph's own grid; changes `image` under
    the coverage, in place.

    Args:
        image: (H, W, 3) uint8 RGB with the mask on.
        coverage: (H, W) uint8.
        box: left, top, right, bottom of the region to look at.
        quality: JPEG quality.
    """
    left, top, right, bottom = box
    left, top, right, bottom = left // 8 * 8, top // 8 * 8, -(-right // 8) * 8, -(-bottom // 8) * 8
    window = slice(top, bottom), slice(left, right)
    code = cv2.imencode(".jpg", image[window][..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded here
    retaken = decoded[..., ::-1].astype(np.float32)
    weight = coverage[window][..., None].astype(np.float32) / 255
    image[window] = np.rint(image[window] * (1 - weight) + retaken * weight).astype(np.uint8)
