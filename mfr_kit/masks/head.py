"""A head of our own: the few 3-D points and cross-sections that a mask needs, in millimetres.

Drawn from common adult proportions (pupils 63 mm apart, nose tip 30 mm before the eyes, chin 117 mm
below them), not copied from a scanned model: insightface ships a `meanshape_68.pkl`, but as a
pickle without a stated licence for the shape, and it has no cheeks. Axes: x to the image's right, y
down from the pupils, z towards the camera; the origin lies between the pupils.

A cross-section at height y is the union of two ellipses: the skull (half width `width`, reaching
from the ears' plane EAR_Z to `front`) and the nose with whatever tents over it (reaching to
`ridge`). Both fade smoothly into each other in `surface.py`.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

LANDMARKS = np.array(
    [[-32.5, 0, 0], [32.5, 0, 0], [0, 36, 30], [-27, 67, 2], [27, 67, 2]], np.float64
)
"""(5, 3) pupils, nose tip and mouth corners as detectors mark them, in ArcFace's order (image
left first).
"""

EAR_Z = -80.0
NOSE_HALF_WIDTH, NOSE_DEPTH = 25.0, 34.0
ARC = 72.0
"""Chart millimetres per radian around the head: the chart's U is the angle around the head times
this, V is the height y.
"""

TOP, BOTTOM, STEP = -40.0, 180.0, 2.0
_HEIGHT = [-40, -20, 0, 20, 40, 60, 75, 90, 105, 115, 125, 140, 160, 180]
_WIDTH = [71, 71.5, 71, 70, 68, 64, 59.5, 53, 44, 37, 38, 48, 53, 56]
_DRAPED = [71, 71.5, 71, 70, 68, 64.5, 61, 58, 55.5, 54.5, 54, 54, 57, 60]
_FRONT = [6, 9, 4, 2, 5, 9, 12, 8, 6, 0, -16, -38, -46, -48]
_RIDGE = [6, 10, 14, 25, 33.5, 25, 20, 14, 9, 2, -14, -36, -44, -46]


@dataclass(frozen=True, eq=False)  # equal when the same: hashable, as caches by model need it
class Sections:
    """Cross-sections by height: `table` is (rows, 3) float32 with width, front and ridge at y =
    TOP + row * STEP.
    """

    table: np.ndarray

    def at(self, y: np.ndarray) -> np.ndarray:
        """Look up (..., 3) width, front and ridge at heights y (nearest tabulated row, clipped
        to the table).
        """
        return self.table.take(self.rows(y), axis=0, mode="clip")

    @staticmethod
    def rows(y: np.ndarray) -> np.ndarray:
        """Rows of the table nearest to heights y; may lie outside it."""
        return ((y - np.float32(TOP - STEP / 2)) * np.float32(1 / STEP)).astype(np.intp)

    @cached_property
    def ellipses(self) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        """Half width, depth and the centre's z, each (2, rows) for the skull and for the nose; and
        half width and depth, (rows,) each, of
        the outer ellipse, from the ears' plane to the ridge, which defines the angle around the
        head.
        """
        width, front, ridge = self.table.T.astype(np.float64)
        same = np.ones_like(width)
        half_width = np.stack([width, same * NOSE_HALF_WIDTH])
        depth, centre = (
            np.stack([front - EAR_Z, same * NOSE_DEPTH]),
            np.stack([same * EAR_Z, ridge - NOSE_DEPTH]),
        )
        return (half_width, depth, centre), (width, ridge - EAR_Z)

    def widened(self, jaw: float) -> "Sections":
        """Scale the half widths from the mouth downwards, to the nearest percent."""
        return _widened(self, round(100 * jaw))


# jaws are 85 to 120 %: what `surface.py` tabulates for a head serves all faces of its kind
@lru_cache(maxsize=1024)
def _widened(head: Sections, percent: int) -> Sections:
    if percent == 100:
        return head
    heights = TOP + STEP * np.arange(len(head.table), dtype=np.float32)
    table = head.table.copy()
    table[:, 0] *= 1 + (percent / 100 - 1) * np.clip((heights - 40) / 50, 0, 1)
    return Sections(table)


def sections(
    draped: bool = False, bulge: float = 0.0, bulge_height: float = 55.0, bulge_spread: float = 30.0
) -> Sections:
    """Tabulate the head with a mask on it.

    Args:
        draped: cloth that falls from the jaw to the neck (gaiter, bandana) instead of wrapping the
            chin.
        bulge: how far the mask stands off the face at its foremost, in mm (cup, duckbill).
        bulge_height: where it does, as y in mm.
        bulge_spread: over how many mm it fades out, up and down.
    """
    heights = np.arange(TOP, BOTTOM + STEP, STEP)
    columns = []
    for values in (_DRAPED if draped else _WIDTH, _FRONT, _RIDGE):
        fine = np.interp(heights, _HEIGHT, values)
        padded = np.pad(fine, 4, mode="edge")
        columns.append(
            np.convolve(padded, np.hanning(11)[1:-1] / np.hanning(11).sum(), mode="valid")
        )
    table = np.stack(columns, axis=1)
    swell = bulge * np.exp(-(((heights - bulge_height) / bulge_spread) ** 2))
    if draped:
        swell += 12 * np.clip((heights - 100) / 30, 0, 1)
    table[:, 2] += swell
    table[:, 1] += 0.8 * swell
    return Sections(table.astype(np.float32))
