"""From pixels back to the mask's chart: rays of weak perspective meet the head's cross-sections, solved on a coarse mesh of nodes.

Working from the pixels (instead of pushing triangles forward) gives hidden surface removal for free: of all the places a ray meets
the head the nearest to the camera counts, so the far cheek foreshortens and ends at the silhouette. Between nodes OpenCV interpolates.
"""

from dataclasses import dataclass

import numpy as np

from mfr_kit.masks.head import ARC, EAR_Z, NOSE_HALF_WIDTH, Sections
from mfr_kit.masks.pose import Pose

_STEPS = 4
_NOSE_DEPTH = 34.0
_BLEND = 5.0  # mm over which nose and cheek run into each other


@dataclass(frozen=True)
class Mesh:
    """Nodes over a region of the image, `cell` pixels apart.

    `chart` is (rows, columns, 3) float32: U and V in mm, and how many mm the ray passes outside the head (negative: it hits).
    `left`, `top` are the pixel coordinates of the region's corner; node (0, 0) lies at the centre of the first cell.
    """

    chart: np.ndarray
    left: int
    top: int
    cell: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the region in pixels."""
        return self.chart.shape[1] * self.cell, self.chart.shape[0] * self.cell


def solve(pose: Pose, model: Sections, box: tuple[float, float, float, float], nodes: int = 20) -> Mesh:
    """Find the chart coordinates of every node of a region.

    Args:
        pose: where the head is.
        model: its cross-sections, with the mask on.
        box: left, top, right, bottom in pixels.
        nodes: nodes along the longer side of the box; more is finer and slower (see benchmarks/masks.py).
    """
    left, top = int(np.floor(box[0])), int(np.floor(box[1]))
    cell = max(1, int(np.ceil(max(box[2] - left, box[3] - top) / nodes)))
    columns, rows = int(np.ceil((box[2] - left) / cell)) + 1, int(np.ceil((box[3] - top) / cell)) + 1
    half = (cell - 1) / 2
    x = (left + half + cell * np.arange(columns, dtype=np.float32) - float(pose.shift[0])) / pose.scale
    y = (top + half + cell * np.arange(rows, dtype=np.float32) - float(pose.shift[1])) / pose.scale
    return Mesh(_intersect(pose, model, x.astype(np.float32), y.astype(np.float32)), left, top, cell)


def _intersect(pose: Pose, model: Sections, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Meet the rays through view coordinates (x, y) in mm with the head; returns the mesh's chart."""
    r = pose.rotation.astype(np.float32)
    origin_x = (x * r[0, 0] + y[:, None] * r[1, 0]) * np.float32(1 / pose.width)
    origin_y = (x * r[0, 1] + y[:, None] * r[1, 1]) * np.float32(1 / pose.length)
    origin_z = x * r[0, 2] + y[:, None] * r[1, 2]
    along_x, along_y, along_z = float(r[2, 0]) / pose.width, float(r[2, 1]) / pose.length, float(r[2, 2])
    level = origin_y
    for _ in range(_STEPS):
        section = model.at(level)
        width, front, ridge = section[..., 0], section[..., 1], section[..., 2]
        depth = front - np.float32(EAR_Z)
        near, miss = _ellipse(origin_x, origin_z - np.float32(EAR_Z), along_x, along_z, width, depth)
        nose, nose_miss = _ellipse(
            origin_x, origin_z - (ridge - np.float32(_NOSE_DEPTH)), along_x, along_z, np.float32(NOSE_HALF_WIDTH), np.float32(_NOSE_DEPTH)
        )
        gap = np.float32(0.5) * (near - nose)
        reach = np.float32(0.5) * (near + nose) + np.sqrt(gap * gap + np.float32(_BLEND**2 / 4))
        level = origin_y + reach * np.float32(along_y)
    tall = ridge - np.float32(EAR_Z)
    angle = np.arctan2(
        (origin_x + reach * np.float32(along_x)) / width, (origin_z + reach * np.float32(along_z) - np.float32(EAR_Z)) / tall
    )
    return np.dstack((angle * np.float32(ARC), level, np.minimum(miss, nose_miss)))


def _ellipse(x, z, dx: float, dz: float, width, depth) -> tuple[np.ndarray, np.ndarray]:
    """Meet rays (x, z) + t (dx, dz) with the ellipse of half axes width and depth: the greatest t, and by how many mm it misses."""
    x, z = x / width, z / depth
    dx, dz = np.float32(dx) / width, np.float32(dz) / depth
    square = dx * dx + dz * dz
    across = x * dz - z * dx
    inside = square - across * across
    reach = (np.sqrt(np.maximum(inside, 0)) - (x * dx + z * dz)) / square
    miss = (np.abs(across) / np.sqrt(square) - 1) * np.minimum(width, depth)
    return reach - np.maximum(miss, 0), miss
