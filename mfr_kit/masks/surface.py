"""From pixels back to the mask's chart: rays of weak perspective meet the head's cross-sections, solved on a coarse mesh of nodes.

Working from the pixels (instead of pushing triangles forward) gives hidden surface removal for free: of all the places a ray meets
the head the nearest to the camera counts, so the far cheek foreshortens and ends at the silhouette. Between nodes OpenCV interpolates.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mfr_kit.masks.head import ARC, EAR_Z, Sections
from mfr_kit.masks.pose import Pose

_BLEND = 5.0  # mm over which nose and cheek run into each other
_NOTHING, _HALF, _ONE, _SMOOTH = np.float32([0, 0.5, 1, _BLEND])  # NumPy takes its own scalars faster than Python's
_BEND = 0.012**0.5  # seen from above a face is roughly the parabola z = 8 - (_BEND x)^2, in mm


@dataclass(frozen=True)
class Mesh:
    """Nodes over a region of the image, `cell` pixels apart.

    `chart` is (3, rows, columns) float32: chart coordinates U and V in mm, and ones (so that a matrix maps it with an offset); `miss`
    is (rows, columns) float32, by how many mm the ray passes outside the head (negative: it hits). `left`, `top` are the pixel
    coordinates of the region's corner; node (0, 0) lies at the centre of the first cell.
    """

    chart: np.ndarray
    miss: np.ndarray
    left: int
    top: int
    cell: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the region in pixels."""
        return self.miss.shape[1] * self.cell, self.miss.shape[0] * self.cell


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
    half, (shift_x, shift_y) = (cell - 1) / 2, pose.shift.tolist()
    corner = (left + half - shift_x) / pose.scale, (top + half - shift_y) / pose.scale
    chart, miss = _intersect(pose, model, _grid(columns, rows), corner, cell / pose.scale)
    return Mesh(chart.reshape(3, rows, columns), miss.reshape(rows, columns), left, top, cell)


@lru_cache(maxsize=64)
def _grid(columns: int, rows: int) -> np.ndarray:
    """(3, rows * columns) float32: column, row and 1 of every node."""
    row, column = np.mgrid[:rows, :columns].reshape(2, -1)
    return np.stack([column, row, np.ones_like(row)]).astype(np.float32)


def _intersect(
    pose: Pose, model: Sections, grid: np.ndarray, corner: tuple[float, float], step: float
) -> tuple[np.ndarray, np.ndarray]:
    """Meet the rays through the nodes of a grid, which begins at `corner` of the view (mm) and is `step` mm wide, with the head.

    Returns the chart (3, nodes) and the miss (nodes,), see `Mesh`. The section a ray meets depends on the height at which it meets it:
    with a nodding head that is solved by a few repetitions.

    A ray is known by `aside`, how far it passes from the head's axis as seen from above, and by the height `level` at which it comes
    nearest to it; where it meets the head is counted in `reach` from there, in units of the ray's vector (dx, dy, dz).
    """
    (xx, xy, xz), (yx, yy, yz), (dx, dy, dz) = pose.rotation.tolist()
    xx, yx, dx = xx / pose.width, yx / pose.width, dx / pose.width
    xy, yy, dy = xy / pose.length, yy / pose.length, dy / pose.length
    square = max(dx * dx + dz * dz, 1e-6)
    near_x, near_y = -(xx * dx + xz * dz) / square, -(yx * dx + yz * dz) / square  # reach of the point nearest to the axis
    bend = _BEND * abs(dy) ** 0.5
    planes = [
        (xx * dz - xz * dx, yx * dz - yz * dx, 0.0),
        (xy + near_x * dy, yy + near_y * dy, 0.0),
        (xy, yy, 8 * dy),
        (bend, 0.0, 0.0),
    ]
    view = np.array([(a * step, b * step, a * corner[0] + b * corner[1] + c) for a, b, c in planes], np.float32) @ grid
    aside, nearest, level, bow = view
    bow *= bow
    level = level - bow if dy > 0 else level + bow
    tilt = abs(dy)
    for _ in range(0 if tilt < 0.15 else 1 if tilt < 0.3 else 2 if tilt < 0.45 else 4):
        level = nearest + dy * _meet(model, level, aside, dx, dz)[0]
    reach, miss, outer = _meet(model, level, aside, dx, dz)
    chart = np.ones((3, len(reach)), np.float32)
    chart[0], chart[1] = aside, reach
    x, z = (np.array([(dz / square, dx, 0.0), (-dx / square, dz, -EAR_Z)], np.float32) @ chart) * outer
    np.arctan2(x, z, out=x)
    np.multiply(x, ARC, out=chart[0])
    reach *= dy
    np.add(nearest, reach, out=chart[1])
    return chart, miss


def _meet(model: Sections, level: np.ndarray, aside: np.ndarray, dx: float, dz: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Meet rays, as `_intersect` knows them, with the two ellipses of their level.

    Returns the greatest reach, smoothed; by how many mm the ray misses; and (2, nodes) 1 / half width and 1 / depth of the outer
    ellipse there.
    """
    section = model.ellipses.take(model.rows(level), axis=1, mode="clip")
    narrow, shallow, both, rounder, centre, lift, radius = section[:14].reshape(7, 2, -1)
    narrow *= dx * dx
    shallow *= dz * dz
    square = narrow
    square += shallow
    across = centre
    across *= dx
    across += aside
    across *= both
    reach = across * across
    np.subtract(square, reach, out=reach)
    np.maximum(reach, _NOTHING, out=reach)
    np.sqrt(reach, out=reach)
    rounder *= aside * (dx * dz / (dx * dx + dz * dz))
    reach += rounder
    lift *= dz
    reach += lift
    reach /= square
    miss = np.abs(across, out=across)
    miss /= np.sqrt(square, out=square)
    miss -= _ONE
    miss *= radius
    reach -= np.maximum(miss, _NOTHING)
    skull, nose = reach
    gap = np.hypot(skull - nose, _SMOOTH)
    gap += skull
    gap += nose
    gap *= _HALF
    return gap, np.minimum(miss[0], miss[1]), section[14:]
