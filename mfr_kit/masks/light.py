"""Take the light of a face: how bright and from where, its colour cast, its sharpness and its grain."""

from dataclasses import dataclass

import cv2
import numpy as np

_GRID = 8
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_SKIN = (1.17, 0.96, 0.83)  # usual skin under white light, relative to its luma
_WHITE = np.ones(3, np.float32)
_FOLLOW = 0.8  # share of the skin's shading that the mask takes on
_GREY = 3.0  # mean difference of channels below which a photo counts as grey
_RAMP = np.arange(256, dtype=np.float32)
_generator = np.random.default_rng(7)
_BLOBS = cv2.GaussianBlur(_generator.standard_normal((64, 64)).astype(np.float32), (0, 0), 1.1)
_BLOBS = (_BLOBS / _BLOBS.std())[..., None]


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
    small = cv2.resize(region, (_GRID, _GRID), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    weight = cv2.resize(coverage, (_GRID, _GRID), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    weight += np.float32(2.0)
    luma = small @ _LUMA
    skin = weight.reshape(-1) @ small.reshape(-1, 3) / weight.sum()
    level = max(float(skin @ _LUMA), 8.0)
    exposure = min(max(0.55 * level / 140 + 0.45 * float(luma.max()) / 215, 0.3), 1.0)
    local = cv2.divide(cv2.blur(luma * weight, (5, 5)), cv2.blur(weight, (5, 5)), scale=_FOLLOW * exposure / level)
    gain = np.minimum(local + np.float32((1 - _FOLLOW) * exposure), 1.25)
    red, green, blue = skin.tolist()
    if abs(red - green) + abs(green - blue) < _GREY and np.abs(small[..., 0] - small[..., 2]).sum() < _GREY * luma.size:
        return Light(gain[..., None] * _WHITE, True, skin)
    tint = [min(max(part / (level * usual), 0.6), 1.5) ** 0.3 for part, usual in zip((red, green, blue), _SKIN, strict=True)]
    return Light(gain[..., None] * np.array(tint, np.float32), False, skin)


def stained(gain: np.ndarray, seed: int, crumple: float, dirt: float) -> np.ndarray:
    """Add uneven tension (crumples) and stains of a used mask to the light on it."""
    row, column = seed % 53, (seed >> 8) % 53
    gain = gain * (np.float32(crumple) * _BLOBS[row : row + _GRID, column : column + _GRID] + np.float32(1))
    if dirt:
        stain = np.maximum(_BLOBS[column : column + _GRID, row : row + _GRID] - 0.4, 0) * np.float32(dirt)
        gain = gain * (1 - stain * np.array([0.6, 0.8, 1.0], np.float32))
    return gain


def shine(colour: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Multiply (H, W, 3) uint8 colours by the light on them, interpolated between the grid's points."""
    coded = cv2.convertScaleAbs(gain, alpha=128)  # 128 stands for 1, so that bytes carry 0 to 2
    return cv2.multiply(colour, cv2.resize(coded, colour.shape[1::-1], interpolation=cv2.INTER_LINEAR), scale=1 / 128)


def shadow_curve(strength: float) -> np.ndarray:
    """(256,) uint8: from how much mask is near a pixel to how much of the light still reaches the skin there."""
    return (255 - _RAMP * strength).astype(np.uint8)
