"""From pixels back to the mask's chart: rays of weak perspective meet the head's cross-sections, solved on a coarse mesh of nodes.

Working from the pixels (instead of pushing triangles forward) gives hidden surface removal for free: of all the places a ray meets
the head the nearest to the camera counts, so the far cheek foreshortens and ends at the silhouette. Between nodes OpenCV interpolates.
"""

from dataclasses import dataclass

import numpy as np

from mfr_kit.masks.head import ARC, EAR_Z, Sections
from mfr_kit.masks.pose import Pose

_BLEND = 5.0  # mm over which nose and cheek run into each other


@dataclass(frozen=True)
class Mesh:
    """Nodes over a region of the image, `cell` pixels apart.

    `u`, `v` and `miss` are (rows, columns) float32: chart coordinates in mm, and by how many mm the ray passes outside the head
    (negative: it hits). `left`, `top` are the pixel coordinates of the region's corner; node (0, 0) lies at the centre of the first cell.
    """

    u: np.ndarray
    v: np.ndarray
    miss: np.ndarray
    left: int
    top: int
    cell: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the region in pixels."""
        return self.u.shape[1] * self.cell, self.u.shape[0] * self.cell


def solve(pose: Pose, model: Sections, box: tuple[int, int, int, int], nodes: int = 20) -> Mesh:
    """Find the chart coordinates of every node of a region.

    Args:
        pose: where the head is.
        model: its cross-sections, with the mask on.
        box: left, top, right, bottom in pixels.
        nodes: nodes along the longer side of the box; more is finer and slower (see benchmarks/masks.py).
    """
    left, top, right, bottom = box
    cell = max(1, -(-max(right - left, bottom - top) // nodes))
    columns, rows = -(-(right - left) // cell), -(-(bottom - top) // cell)
    half = (cell - 1) / 2
    x = np.arange(columns, dtype=np.float32) * np.float32(cell / pose.scale) + np.float32((left + half - pose.shift[0]) / pose.scale)
    y = np.arange(rows, dtype=np.float32) * np.float32(cell / pose.scale) + np.float32((top + half - pose.shift[1]) / pose.scale)
    return Mesh(*_intersect(pose, model, x, y[:, None]), left, top, cell)


def _intersect(pose: Pose, model: Sections, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Meet the rays through view coordinates (x, y) in mm with the head; returns U, V and the miss of a mesh.

    The section a ray meets depends on the height at which it meets it: with a nodding head that is solved by a few repetitions.
    """
    r = pose.rotation.astype(np.float32)
    origin_x = x * (r[0, 0] / np.float32(pose.width)) + y * (r[1, 0] / np.float32(pose.width))
    origin_y = x * (r[0, 1] / np.float32(pose.length)) + y * (r[1, 1] / np.float32(pose.length))
    origin_z = x * r[0, 2] + y * r[1, 2]
    along_x, along_y, along_z = np.float32(r[2, 0] / pose.width), np.float32(r[2, 1] / pose.length), r[2, 2]
    tilt = abs(float(along_y))
    level = origin_y + (np.float32(8) - np.float32(0.012) * (x * x)) * along_y  # a face is roughly a parabola
    for _ in range(0 if tilt < 0.15 else 1 if tilt < 0.3 else 2 if tilt < 0.45 else 4):
        reach, *_ = _meet(model, level, origin_x, origin_z, along_x, along_z)
        level = origin_y + reach * along_y
    reach, miss, narrow, flat = _meet(model, level, origin_x, origin_z, along_x, along_z)
    level = origin_y + reach * along_y
    angle = np.arctan2((origin_x + reach * along_x) * narrow, (origin_z + reach * along_z - np.float32(EAR_Z)) * flat)
    return angle * np.float32(ARC), level, miss


def _meet(model: Sections, level: np.ndarray, x: np.ndarray, z: np.ndarray, dx: np.float32, dz: np.float32) -> tuple[np.ndarray, ...]:
    """Meet rays (x, z) + t (dx, dz) with the two ellipses of their level.

    Returns the greatest t, smoothed; by how many mm the ray misses; and 1 / half width and 1 / depth of the outer ellipse there.
    """
    section = model.ellipses.take(model.rows(level), axis=1, mode="clip")
    narrow, shallow, centre = section[:6].reshape(3, 2, *level.shape)
    outer_width, outer_depth = narrow[0], section[6]
    x, z = x * narrow, (z - centre) * shallow
    dx, dz = dx * narrow, dz * shallow
    square = dx * dx + dz * dz
    across = x * dz
    across -= z * dx
    miss = np.abs(across)
    miss /= np.sqrt(square)
    miss -= 1
    miss /= np.maximum(narrow, shallow)
    reach = square - across * across
    np.maximum(reach, 0, out=reach)
    np.sqrt(reach, out=reach)
    reach -= x * dx
    reach -= z * dz
    reach /= square
    reach -= np.maximum(miss, 0)
    near, nose = reach
    gap = near - nose
    return (
        np.float32(0.5) * (near + nose + np.sqrt(gap * gap + np.float32(_BLEND**2))),
        np.minimum(miss[0], miss[1]),
        outer_width,
        outer_depth,
    )
