"""The student's view of a clean face: a mask or none, the mirror draw it shares with the
teacher, alignment drift, photometry.
"""

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from mfr_kit.data.alignment.align import SIZE
from mfr_kit.masks.batched import packed
from mfr_kit.masks.library import Library
from mfr_kit.masks.plan import MaskPlan, plan
from mfr_kit.masks.render import paint
from mfr_kit.training.views import drift
from mfr_kit.training.views.degrade import degrade
from mfr_kit.training.views.photometry import Recorder, photometry, seed
from mfr_kit.training.views.view_plan import ViewPlan


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
        self._recipe, self.library, self._drifts = recipe, library, drifts
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
        mirrored, masked, mask, matrix = self._place(face, landmarks, rng)
        image = self._develop(move(_wear(face, mask), matrix, mirrored), rng)
        return View(image, mirrored, masked)

    def plan(self, face: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> ViewPlan:
        """Draw a view as `draw` does, and leave its pixels to a `ViewRenderer` that can make them.

        What it cannot make is made here: masks of a few pixels, and whole views that are degraded.
        """
        mirrored, masked, mask, matrix = self._place(face, landmarks, rng)
        if mask is not None and not packed.can_pack(mask):
            face, mask = _wear(face, mask), None
        before = rng.bit_generator.state
        steps = self._recorder.draw(rng) if self._recipe.photometric else []
        if self._recipe.degrade and rng.random() < self._recipe.degrade:
            rng.bit_generator.state = before
            image = self._develop(move(_wear(face, mask), matrix, mirrored), rng)
            return ViewPlan(image, mirrored, masked)
        back = cv2.invertAffineTransform(_with_mirror(matrix, mirrored))
        return ViewPlan(face, mirrored, masked, mask, back, steps)

    @functools.cached_property
    def _recorder(self) -> Recorder:
        return Recorder(self._recipe.photometric)

    def _place(
        self, face: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator
    ) -> tuple[bool, bool, MaskPlan | None, np.ndarray]:
        """Draw all that moves: whether it is mirrored and masked, where the mask goes, and the
        drift.
        """
        mirrored, masked = (
            rng.random() < self._recipe.mirror,
            rng.random() < self._recipe.mask_ratio,
        )
        mask = None
        if masked:
            assert self.library is not None  # without one nothing is masked
            mask = plan(face, landmarks, self.library.draw(rng), rng)
        return mirrored, masked, mask, self._drift(masked, rng)

    def _develop(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw and do what changes the pixels of the moved picture."""
        if self._photometry is not None:
            seed(self._photometry, rng)
            image = self._photometry(image=image)["image"]
        if self._recipe.degrade and rng.random() < self._recipe.degrade:
            image = degrade(image, rng)
        return np.ascontiguousarray(image)

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
    return cv2.warpAffine(
        image,
        _with_mirror(matrix, mirrored),
        (SIZE, SIZE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def _with_mirror(matrix: np.ndarray, mirrored: bool) -> np.ndarray:
    mirror = np.array([[-1, 0, SIZE - 1], [0, 1, 0], [0, 0, 1]], np.float64)
    return matrix @ mirror if mirrored else matrix


def _wear(face: np.ndarray, mask: MaskPlan | None) -> np.ndarray:
    """The face with the mask on, a new image; itself without."""
    if mask is None:
        return face
    image = face.copy()
    paint(image, np.zeros(face.shape[:2], np.uint8), mask)
    return image
