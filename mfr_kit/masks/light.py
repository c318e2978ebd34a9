"""Take the light of a face: how bright and from where, its colour cast, its sharpness and its grain."""

from dataclasses import dataclass

import cv2
import numpy as np

_GRID = 10
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_SKIN = np.array([1.17, 0.96, 0.83], np.float32)  # usual skin under white light, relative to its luma
_TILE = 256
_generator = np.random.default_rng(7)
_BLOBS = cv2.GaussianBlur(_generator.standard_normal((64, 64)).astype(np.float32), (0, 0), 1.1)
_BLOBS /= _BLOBS.std()


@dataclass(frozen=True)
class Light:
    """The light on a region: `gain` is (GRID, GRID, 3) float32 factors for a mask's colours; `grey` says the photo has no colour."""

    gain: np.ndarray
    grey: bool
    skin: np.ndarray


def measure(region: np.ndarray, coverage: np.ndarray) -> Light:
    """Measure the light of a face where it is covered.

    Args:
        region: (H, W, 3) uint8 RGB around the mask.
        coverage: (H, W) uint8, where the mask will lie.
    """
    small = cv2.resize(region, (_GRID, _GRID), interpolation=cv2.INTER_AREA).astype(np.float32)
    weight = cv2.resize(coverage, (_GRID, _GRID), interpolation=cv2.INTER_AREA).astype(np.float32) + 2.0
    luma = small @ _LUMA
    total = float(weight.sum())
    skin = np.einsum("ijc,ij->c", small, weight) / total
    level = max(float(skin @ _LUMA), 8.0)
    local = cv2.blur(luma * weight, (5, 5)) / cv2.blur(weight, (5, 5))
    exposure = min(max(0.55 * level / 140 + 0.45 * float(luma.max()) / 215, 0.3), 1.1)
    relief = np.clip(local * (1 / level), 0.35, 1.6) ** 0.8 * exposure
    grey = bool((small.max(axis=2) - small.min(axis=2)).mean() < 3.0)
    cast = np.ones(3, np.float32) if grey else np.clip(skin / (level * _SKIN), 0.6, 1.5) ** 0.3
    return Light(relief[..., None] * cast, grey, skin)


def stained(gain: np.ndarray, seed: int, crumple: float, dirt: float) -> np.ndarray:
    """Add uneven tension (crumples) and stains of a used mask to the light on it."""
    row, column = seed % 53, (seed >> 8) % 53
    gain = gain * (1 + np.float32(crumple) * _BLOBS[row : row + _GRID, column : column + _GRID, None])
    if dirt:
        stain = np.maximum(_BLOBS[column : column + _GRID, row : row + _GRID, None] - 0.4, 0) * np.float32(dirt)
        gain = gain * (1 - stain * np.array([0.6, 0.8, 1.0], np.float32))
    return gain
