"""Whether two forms of one network give the same embeddings."""

import numpy as np

from mfr_kit.seeding import rng_for

MIN_SPREAD = 1e-3  # of the embeddings' length


def colour_faces(count: int) -> np.ndarray:
    """Make (count, 112, 112, 3) uint8 RGB pictures, the same every time, whose channels differ
    at every scale: a swapped channel shows.
    """
    rng = rng_for(0, 112)
    total = np.zeros((count, 112, 112, 3))
    for cells in (2, 7, 28, 112):
        coarse = rng.uniform(-1, 1, (count, cells, cells, 3))
        total += coarse.repeat(112 // cells, axis=1).repeat(112 // cells, axis=2)
    return np.clip(127.5 + 50 * total, 0, 255).astype(np.uint8)


def cosine_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 - cosine of rows, (B, D) and (B, D) -> (B,) float64, exact near 0 where 1 - dot would
    round; NaN for a zero row.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (
            np.square(
                a / np.linalg.norm(a, axis=1, keepdims=True)
                - b / np.linalg.norm(b, axis=1, keepdims=True)
            ).sum(axis=1)
            / 2
        )


def centred_difference(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """`cosine_difference` after taking the mean of `wanted` off both.

    The embeddings of a weakly trained network are nearly equal for all faces, and what tells them
    apart would drown in what they share. Where they differ by less than MIN_SPREAD of their length
    only rounding is left, and the mean stays.
    """
    middle = wanted.astype(np.float64).mean(axis=0)
    spread = np.linalg.norm(wanted - middle, axis=1).mean()
    if not spread > MIN_SPREAD * np.linalg.norm(middle):
        return cosine_difference(wanted, found)
    return cosine_difference(wanted - middle, found - middle)
