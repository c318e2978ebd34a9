"""Prints for cloth: each pattern turns chart coordinates into how much of the print and trim
colours shows.
"""

from collections.abc import Callable

import cv2
import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.registry import unknown

Weights = tuple[np.ndarray, np.ndarray]
_SOFT = 0.35  # mm over which a printed edge fades, so that textures shrink without stair-steps


def names() -> list[str]:
    """List the patterns a recipe may ask for."""
    return sorted(_PATTERNS)


def draw(
    name: str, x: np.ndarray, y: np.ndarray, size_mm: float, rng: np.random.Generator
) -> Weights:
    """Draw a pattern.

    Args:
        name: one of `names()`.
        x: chart coordinates in mm, any shape.
        y: the same shape.
        size_mm: the repeat.
        rng: places what is random (flowers, camouflage).
    Returns:
        Weights in [0, 1] of the print colour and of the trim colour.
    Raises:
        KitError: unknown name.
    """
    if name not in _PATTERNS:
        raise KitError(unknown("pattern", name, names()))
    return _PATTERNS[name](x.astype(np.float32), y.astype(np.float32), size_mm, rng)


def smooth_noise(
    shape: tuple[int, int], cells: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Band-limited noise of standard deviation 1 with about `cells` (rows, columns) blobs over
    the array.
    """
    coarse = rng.standard_normal((max(2, round(cells[0])), max(2, round(cells[1])))).astype(
        np.float32
    )
    fine = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return (fine - fine.mean()) / max(float(fine.std()), 1e-6)


def _inside(distance: np.ndarray) -> np.ndarray:
    """1 where a signed distance in mm is negative, fading over `_SOFT`."""
    return np.clip(0.5 - distance / _SOFT, 0, 1)


def _triangle(t: np.ndarray, period: float) -> np.ndarray:
    """Distance to the nearest multiple of `period`."""
    return np.abs((t + period / 2) % period - period / 2)


def _none(x, y, size, rng) -> Weights:
    return np.zeros_like(x), np.zeros_like(x)


def _stripes(x, y, size, rng) -> Weights:
    return _inside(_triangle(y, size) - size / 4), np.zeros_like(x)


def _pinstripes(x, y, size, rng) -> Weights:
    return _inside(_triangle(x, size) - 0.5), np.zeros_like(x)


def _diagonal(x, y, size, rng) -> Weights:
    return _inside(_triangle(0.7 * (x + y), size) - size / 4), np.zeros_like(x)


def _checks(x, y, size, rng) -> Weights:
    bands = [_inside(_triangle(t, size) - size / 4) for t in (x, y)]
    return 0.5 * (bands[0] + bands[1]), np.zeros_like(x)


def _tartan(x, y, size, rng) -> Weights:
    broad = [_inside(_triangle(t, size) - size / 5) for t in (x, y)]
    thin = [_inside(_triangle(t + size / 2, size) - 0.6) for t in (x, y)]
    return 0.5 * (broad[0] + broad[1]), 0.6 * np.maximum(*thin) * (1 - 0.5 * (broad[0] + broad[1]))


def _dots(x, y, size, rng) -> Weights:
    shifted = x + size / 2 * (np.floor(y / size) % 2)
    radius = np.hypot((shifted % size) - size / 2, (y % size) - size / 2)
    return _inside(radius - size * 0.27), np.zeros_like(x)


def _stars(x, y, size, rng) -> Weights:
    shifted = x + size / 2 * (np.floor(y / size) % 2)
    dx, dy = (shifted % size) - size / 2, (y % size) - size / 2
    angle = np.abs((np.arctan2(dx, -dy) + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
    edge = (
        size * 0.36 * np.cos(np.pi / 5) * 0.62 / np.maximum(np.cos(angle - np.pi / 5 * 1.55), 0.3)
    )
    return _inside(np.hypot(dx, dy) - edge), np.zeros_like(x)


def _floral(x, y, size, rng) -> Weights:
    """Flowers of five petals with a heart of the trim colour and leaves between, on a jittered
    grid.
    """
    petals, hearts = np.zeros_like(x), np.zeros_like(x)
    for row in np.arange(y.min(), y.max() + size, size):
        for column in np.arange(x.min(), x.max() + size, size):
            cx, cy = np.array([column, row]) + rng.uniform(-0.3, 0.3, 2) * size
            radius, turn = size * rng.uniform(0.28, 0.46), rng.uniform(0, 6.3)
            near = (np.abs(x - cx) < size) & (np.abs(y - cy) < size)
            dx, dy = x[near] - cx, y[near] - cy
            distance, angle = np.hypot(dx, dy), np.arctan2(dy, dx) + turn
            petals[near] = np.maximum(
                petals[near], _inside(distance - radius * (0.8 + 0.2 * np.cos(5 * angle)))
            )
            hearts[near] = np.maximum(hearts[near], _inside(distance - radius * 0.25))
    return petals * (1 - hearts), hearts


def _camouflage(x, y, size, rng) -> Weights:
    cells = (np.ptp(y) / size, np.ptp(x) / size * 0.7)
    fold, cross = smooth_noise(x.shape, cells, rng), smooth_noise(x.shape, cells, rng)
    first = np.clip(0.5 + (fold - 0.35) * 8, 0, 1)
    return first, np.clip(0.5 + (cross - 0.7) * 8, 0, 1) * (1 - first)


def _paisley(x, y, size, rng) -> Weights:
    """A bandana: drops with rims on a grid, small dots between."""
    shifted = x + size / 2 * (np.floor(y / size) % 2)
    dx, dy = (shifted % size) - size / 2, (y % size) - size / 2
    bend = dx - 0.25 * dy * dy / size * 2
    drop = np.hypot(bend * (1.3 + 0.9 * dy / size), dy) - size * 0.3
    rim = _inside(np.abs(drop) - 0.7)
    heart = _inside(np.hypot(bend, dy - size * 0.05) - size * 0.09)
    corner = _inside(np.hypot(_triangle(shifted, size), _triangle(y, size)) - 1.1)
    return np.maximum.reduce([rim, heart, corner]), np.zeros_like(x)


def _logo(x, y, size, rng) -> Weights:
    """A printed emblem on the wearer's left cheek: a ring with a bar, and three lines like
    lettering below.
    """
    dx, dy = x - 30, y - 72
    ring = _inside(np.abs(np.hypot(dx, dy) - size * 0.5) - size * 0.09)
    bar = _inside(np.maximum(np.abs(dx + 0.5 * dy) - size * 0.1, np.abs(dy) - size * 0.36))
    words = _inside(np.maximum(np.abs(dx) - size * 0.8, np.abs(dy - size * 0.8) - 1.2)) * (
        np.sin(dx * 2.2) + np.sin(dx * 3.7) > -0.6
    )
    return np.maximum.reduce([ring, bar, words]), np.zeros_like(x)


_PATTERNS: dict[str, Callable[..., Weights]] = {
    "none": _none,
    "stripes": _stripes,
    "pinstripes": _pinstripes,
    "diagonal": _diagonal,
    "checks": _checks,
    "tartan": _tartan,
    "dots": _dots,
    "stars": _stars,
    "floral": _floral,
    "camouflage": _camouflage,
    "paisley": _paisley,
    "logo": _logo,
}
