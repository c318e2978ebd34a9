"""One mask on one face, from a seed: the renderer for a line of Python."""

from collections.abc import Sequence

import numpy as np

from mfr_kit.data.alignment.align import SIZE, TEMPLATE
from mfr_kit.data.alignment.align_photo import AlignedFace
from mfr_kit.errors import KitError
from mfr_kit.masks import library
from mfr_kit.masks.render import render
from mfr_kit.seeding import rng_for


def put_mask(
    face: np.ndarray | AlignedFace,
    seed: int = 0,
    masks: str | Sequence[str] | None = None,
    landmarks: np.ndarray | None = None,
) -> np.ndarray:
    """Put the mask that a seed draws from the library on a face.

    Args:
        face: (H, W, 3) uint8 RGB, never written to; or an aligned face with its landmarks.
        seed: >= 0; the same seed draws the same mask.
        masks: looks or kinds to draw from; None for the whole mix.
        landmarks: (5, 2), (68, 2) or (106, 2) in the face's pixels; None for the aligned face's
            own, or the template's of a 112x112 crop.
    Returns:
        A new image like the face.
    Raises:
        KitError: an unknown mask, a seed below 0, no RGB image of bytes, landmarks that cannot be
            used, or none for an image of another size.
    """
    if isinstance(face, AlignedFace):
        landmarks = face.landmarks if landmarks is None else landmarks
        face = face.image
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise KitError(f"seed: a whole number from 0 on, found {seed!r}")
    if not isinstance(face, np.ndarray):
        raise KitError(f"a face is an (H, W, 3) uint8 RGB array, found {type(face).__name__}")
    if landmarks is None and face.shape[:2] != (SIZE, SIZE):
        raise KitError(
            f"a face of shape {face.shape} without landmarks: only {SIZE}x{SIZE} crops have known "
            "ones; align it first, or give landmarks="
        )
    points = TEMPLATE if landmarks is None else np.asarray(landmarks, np.float32)
    names = [masks] if isinstance(masks, str) else None if masks is None else list(masks)
    rng = rng_for(int(seed))
    mask = library.load_cached(names).draw(rng)
    return render(face, points, mask, rng)[0]
