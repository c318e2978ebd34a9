"""Take the light of a face: how bright and from where, its colour cast, its sharpness and its
grain.
"""

from dataclasses import dataclass

import cv2
import numpy as np

GRID = 8
LEAST = np.float32(2)  # weight of a cell without mask
MOST = np.float32(1.25)  # the greatest gain
SKIN = (1.17, 0.96, 0.83)  # usual skin under white light, relative to its luma
_WHITE = np.ones((3, 1), np.float32)
FOLLOW = 0.8  # share of the skin's shading that the mask takes on
GREY = 3.0  # mean difference of channels below which a photo counts as grey
NEAR = (
    cv2.blur(np.eye(GRID**2, dtype=np.float32).reshape(GRID, GRID, -1), (5, 5))
    .reshape(GRID**2, -1)
    .T.copy()
)
"""(64, 64): weights @ NEAR blurs a flattened grid, two and a half of its cells around."""
_generator = np.random.default_rng(7)
BLOBS = cv2.GaussianBlur(_generator.standard_normal((64, 64)).astype(np.float32), (0, 0), 1.1)
BLOBS = BLOBS / BLOBS.std()
SPOTS = 53  # rows and columns of BLOBS at which stains begin
STAIN = np.array([0.6, 0.8, 1.0], np.float32)


@dataclass(frozen=True)
class Light:
    """The light on a region: a mask's colours times `tint`, (3, 1) float32 at most 1, and `gain`,
    (GRID, GRID) float32.

    `skin` is the mean colour around the mask, `grey` says the photo has no colour.
    """

    gain: np.ndarray
    tint: np.ndarray
    grey: bool
    skin: tuple[float, float, float]


def measure(region: np.ndarray, coverage: np.ndarray) -> Light:
    """Measure the light of a face where it is covered.

    Args:
        region: (H, W, 3) uint8 RGB around the mask.
        coverage: (H, W) uint8, where the mask will lie.
    """
    small = cv2.resize(region, (GRID, GRID), interpolation=cv2.INTER_LINEAR)
    luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    brightest = cv2.minMaxLoc(luma)[1]
    # of each cell, and the same times its brightness
    weights = np.empty((2, GRID * GRID), np.float32)
    weight = cv2.resize(coverage, (GRID, GRID), interpolation=cv2.INTER_LINEAR)
    np.add(weight.reshape(-1), LEAST, out=weights[0])
    np.multiply(weights[0], luma.reshape(-1), out=weights[1])
    # the fourth channel, 255, adds up the weights
    colours = cv2.cvtColor(small, cv2.COLOR_RGB2RGBA).reshape(-1, 4).astype(np.float32)
    red, green, blue, total = (weights[0] @ colours).tolist()
    skin = red, green, blue = 255 * red / total, 255 * green / total, 255 * blue / total
    level = max(0.299 * red + 0.587 * green + 0.114 * blue, 8.0)
    exposure = min(max(0.55 * level / 140 + 0.45 * brightest / 215, 0.3), 1.0)
    amount, local = weights @ NEAR
    local /= amount
    local *= np.float32(FOLLOW * exposure / level)
    local += np.float32((1 - FOLLOW) * exposure)
    gain = np.minimum(local, MOST, out=local).reshape(GRID, GRID)
    if abs(red - green) + abs(green - blue) < GREY and _is_grey(small):
        return Light(gain, _WHITE, True, skin)
    tint = [
        min(max(part / (level * usual), 0.6), 1.5) ** 0.3
        for part, usual in zip(skin, SKIN, strict=True)
    ]
    # goes into the gain, so that tinting a bright colour does not clip it before a dim light
    # falls on it
    strongest = max(tint)
    gain *= np.float32(strongest)
    return Light(gain, np.array([[part / strongest] for part in tint], np.float32), False, skin)


def _is_grey(small: np.ndarray) -> bool:
    pixels = small.tobytes()
    if pixels[::3] == pixels[2::3]:  # what a grey file decodes to
        return True
    return (
        sum(abs(red - blue) for red, blue in zip(pixels[::3], pixels[2::3], strict=True))
        < GREY * GRID * GRID
    )


def add_stains(gain: np.ndarray, seed: int, crumple: float, dirt: float) -> np.ndarray:
    """Add uneven tension (crumples) and stains of a used mask to the light on it; stains have a
    colour and make it (GRID, GRID, 3).
    """
    row, column = seed % SPOTS, (seed >> 8) % SPOTS
    uneven = cv2.addWeighted(BLOBS[row : row + GRID, column : column + GRID], crumple, gain, 0, 1)
    uneven *= gain
    if dirt:
        stain = np.maximum(BLOBS[column : column + GRID, row : row + GRID] - 0.4, 0) * np.float32(
            dirt
        )
        return uneven[..., None] * (1 - stain[..., None] * STAIN)
    return uneven


def shine(colour: np.ndarray, gain: np.ndarray) -> None:
    """Multiply (H, W, 3) uint8 colours, in place, by the light on them, interpolated between the
    grid's points.
    """
    light = cv2.resize(gain, colour.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    coded = cv2.convertScaleAbs(light, alpha=128)  # 128 stands for 1, so that bytes carry 0 to 2
    cv2.multiply(
        colour,
        coded if gain.ndim == 3 else cv2.cvtColor(coded, cv2.COLOR_GRAY2RGB),
        dst=colour,
        scale=1 / 128,
    )
