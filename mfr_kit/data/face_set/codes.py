"""Arrays of millions of numbers and flags, worked at a part at a time: numpy makes eight bytes of
each number.
"""

import numpy as np

SLICE = 1 << 16  # numbers held at a time


def count(codes: np.ndarray, size: int) -> np.ndarray:
    """Count how often each of 0 .. size - 1 is there; (size,) int64, without another copy of
    `codes`.
    """
    counts, step = np.zeros(size, np.int64), max(SLICE, 4 * size)
    for start in range(0, len(codes), step):
        counts += np.bincount(codes[start : start + step], minlength=size)
    return counts


def find(chosen: np.ndarray) -> np.ndarray:
    """What `np.flatnonzero` of (N,) bool gives, in half the memory where that will do."""
    kind = np.int32 if len(chosen) < 1 << 31 else np.int64
    rows, filled = np.empty(np.count_nonzero(chosen), kind), 0
    for start in range(0, len(chosen), SLICE):
        own = np.flatnonzero(chosen[start : start + SLICE])
        rows[filled : filled + len(own)] = start + own
        filled += len(own)
    return rows


def is_sorted(codes: np.ndarray) -> bool:
    """Whether each number is as large as the one before it."""
    parts = (codes[start : start + SLICE + 1] for start in range(0, len(codes), SLICE))
    return all(bool((part[1:] >= part[:-1]).all()) for part in parts)
