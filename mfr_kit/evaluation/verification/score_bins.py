"""Equal bins of cosine scores, and the exact float32 edges between them."""

import functools
from dataclasses import dataclass

import numpy as np

from mfr_kit.evaluation.verification.comparisons import SKIP

TOP = np.float32(1.03)  # above every cosine


@dataclass(frozen=True)
class ScoreBins:
    """Bins of float32 scores from SKIP up to above every cosine.

    Attributes:
        count: how many; (TOP - SKIP) * scale < count <= 65,536.
        scale: bins per unit of cosine.
    """

    count: int
    scale: float

    def of(self, scores: np.ndarray) -> np.ndarray:
        """Return the uint16 bin of each float32 score; never decreasing in the score, and SKIP
        falls into bin 0, which holds nothing else.
        """
        shifted = np.subtract(scores, SKIP)
        return np.multiply(shifted, np.float32(self.scale), out=shifted).astype(np.uint16)

    def edges(self) -> np.ndarray:
        """Return the smallest float32 score of every bin; (count + 1,), since nothing lies above
        the last.
        """
        return _edges(self)


# of a sweep by NumPy and OpenCV, which hold so many counters at no cost
FINE = ScoreBins(1 << 16, 31744.0)
# of a sweep by torch, whose counters stay on the chip up to 48 KiB a block of threads
COARSE = ScoreBins(6000, 2910.0)


@functools.cache
def _edges(bins: ScoreBins) -> np.ndarray:
    number = np.arange(1, bins.count)
    low, high = (np.full(bins.count - 1, _ordered(value)) for value in (SKIP, TOP))
    # bisection over all float32 values at once: of(low) < number <= of(high)
    while (high - low > 1).any():
        middle = (low + high) // 2
        reached = bins.of(_float32(middle)) >= number
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    lowest = np.concatenate([[SKIP], _float32(high)])
    return np.append(lowest, np.float32(np.inf))


def _ordered(value: np.float32) -> np.int64:
    """Number the float32 values so that their order is that of the numbers."""
    bits = np.int64(np.float32(value).view(np.int32))
    return bits if bits >= 0 else np.int64(-(1 << 31)) - bits


def _float32(number: np.ndarray) -> np.ndarray:
    return np.where(number >= 0, number, -(1 << 31) - number).astype(np.int32).view(np.float32)
