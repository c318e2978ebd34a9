"""The student's view of a clean face: a mask or none, the mirror draw it shares with the
teacher, alignment drift, photometry.
"""

import os
import random
from dataclasses import dataclass

import cv2
import numpy as np

from mfr_kit.data.alignment.align import SIZE
from mfr_kit.masks.library import Library
from mfr_kit.masks.render import render
from mfr_kit.training.views import drift
from mfr_kit.training.views.degrade import degrade


@dataclass(frozen=True)
class ViewRecipe:
    """How views are drawn; see the options of the same names."""

    mask_ratio: float = 0.35
    drift: float = 1.0
    drift_clean: float = 0.25
    photometric: float = 1.0
    mirror: float = 0.5
    degrade: float = 0.0


@dataclass(frozen=True)
class View:
    """What the student sees (112, 112, 3) uint8 RGB, and what was done to it."""

    image: np.ndarray
    mirrored: bool
    masked: bool


class Views:
    """Draw views. One object per loader process; everything random comes from the sample's own
    generator.

    Args:
        recipe: probabilities and strengths.
        library: the masks; None only with `mask_ratio` 0.
        drifts: (M, 4) measured drifts (training/views/drift.py) that masked faces draw from; None:
            the constants there.
    """

    def __init__(
        self, recipe: ViewRecipe, library: Library | None, drifts: np.ndarray | None = None
    ):
        self._recipe, self._library, self._drifts = recipe, library, drifts
        self._photometry = photometry(recipe.photometric) if recipe.photometric else None

    def draw(self, face: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> View:
        """Draw one view of a clean aligned face; the face itself is left alone.

        The mask goes on first, on the well-aligned face with its own landmarks; then the mirror and
        the drift move both together.

        Args:
            face: (112, 112, 3) uint8 RGB.
            landmarks: (K, 2) in its pixels.
            rng: from `rng_for(seed, epoch, index)`.
        """
        mirrored, masked = (
            rng.random() < self._recipe.mirror,
            rng.random() < self._recipe.mask_ratio,
        )
        image = face
        if masked:
            assert self._library is not None  # without one nothing is masked
            image = render(face, landmarks, self._library.draw(rng), rng)[0]
        image = move(image, self._drift(masked, rng), mirrored)
        if self._photometry is not None:
            self._photometry.set_random_state(rng, random.Random(int(rng.integers(1 << 62))))
            image = self._photometry(image=image)["image"]
        if self._recipe.degrade and rng.random() < self._recipe.degrade:
            image = degrade(image, rng)
        return View(np.ascontiguousarray(image), mirrored, masked)

    def _drift(self, masked: bool, rng: np.random.Generator) -> np.ndarray:
        amount = self._recipe.drift if masked else self._recipe.drift_clean
        if not amount:
            return np.eye(2, 3)
        return (
            drift.from_twins(rng, amount, self._drifts)
            if masked and self._drifts is not None
            else drift.from_constants(rng, amount)
        )


def move(image: np.ndarray, matrix: np.ndarray, mirrored: bool) -> np.ndarray:
    """Apply a mirror, then a similarity, in one interpolation; what lies beyond the crop is its
    reflection. Returns a new image.
    """
    if np.array_equal(matrix, np.eye(2, 3)):
        return np.ascontiguousarray(image[:, ::-1]) if mirrored else image.copy()
    if mirrored:
        matrix = matrix @ np.array([[-1, 0, SIZE - 1], [0, 1, 0], [0, 0, 1]], np.float64)
    return cv2.warpAffine(
        image, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )


def photometry(probability: float):
    """Build the photometric part: light, colour, blur, low resolution, noise, compression; geometry
    is left alone.

    Args:
        probability: factor on the probability of each, >= 0.
    Returns:
        An albumentations Compose; seed it per sample with `set_random_state` (its own seed would
        repeat per worker).
    """
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = (
        "1"  # it asks the network for a newer version on import
    )
    import albumentations as A

    def p(base: float) -> float:
        return min(1.0, base * probability)

    blur = [
        A.GaussianBlur(blur_limit=(3, 5)),
        A.MotionBlur(blur_limit=(3, 5)),
        A.Downscale(scale_range=(0.4, 0.8)),
    ]
    return A.Compose(
        [
            A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.2, p=p(0.5)),
            A.RandomGamma(gamma_limit=(70, 140), p=p(0.2)),
            A.HueSaturationValue(
                hue_shift_limit=6, sat_shift_limit=25, val_shift_limit=0, p=p(0.3)
            ),
            A.ToGray(p=p(0.03)),
            A.OneOf(blur, p=p(0.2)),
            A.GaussNoise(std_range=(0.01, 0.04), p=p(0.15)),
            A.ImageCompression(quality_range=(40, 90), p=p(0.2)),
        ]
    )
