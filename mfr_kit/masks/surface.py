"""From pixels back to the mask's chart: rays of weak perspective meet the head's cross-sections,
solved on a coarse mesh of nodes.

Working from the pixels (instead of pushing triangles forward) gives hidden surface removal for
free: of all the places a ray meets the head the nearest to the camera counts, so the far cheek
foreshortens and ends at the silhouette. Between nodes OpenCV interpolates.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import atan2, cos, hypot, sin

import cv2
import numpy as np

from mfr_kit.masks.head import ARC, EAR_Z, Sections
from mfr_kit.masks.pose import Pose

_BLEND = 5.0  # mm over which nose and cheek run into each other
# radians of turn to the side within which the head counts as seen from the same direction: 0.2 mm
# at the ears
_TURN = 0.005
# NumPy takes its own scalars faster than Python's
_NOTHING, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_SMOOTH, _ARC = np.float32(_BLEND), np.float32(ARC)
_BEND = 0.012**0.5  # seen from above a face is roughly the parabola z = 8 - (_BEND x)^2, in mm


@dataclass(frozen=True)
class Mesh:
    """Nodes spread evenly over a box of the image, (left, top, right, bottom), and by `rim` pixels
    beyond it on every side.

    `chart` is (3, rows, columns) float32: chart coordinates U and V in mm, and ones (so that a
    matrix maps it with an offset); `miss` is (rows, columns) float32, by how many mm the ray passes
    outside the head (negative: it hits).
    """

    chart: np.ndarray
    miss: np.ndarray
    box: tuple[int, int, int, int]
    rim: int

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Interpolate (rows, columns) values between the nodes: at each pixel of the box."""
        (left, top, right, bottom), rim = self.box, self.rim
        width, height = right - left, bottom - top
        whole = cv2.resize(
            values, (width + 2 * rim, height + 2 * rim), interpolation=cv2.INTER_LINEAR
        )
        return whole[rim : rim + height, rim : rim + width]


def solve(pose: Pose, model: Sections, box: tuple[int, int, int, int], nodes: int = 20) -> Mesh:
    """Find the chart coordinates of nodes over a box.

    Args:
        pose: where the head is.
        model: its cross-sections, with the mask on.
        box: left, top, right, bottom in pixels, not empty.
        nodes: nodes along the longer side; more is finer and slower (see benchmarks/masks.py).
    """
    left, top, right, bottom = box
    # half a cell: the outermost nodes lie at the edge of the box or beyond
    rim = max(right - left, bottom - top) // (2 * nodes)
    left, top, right, bottom = left - rim, top - rim, right + rim, bottom + rim
    width, height = right - left, bottom - top
    cell = max(1, -(-max(width, height) // nodes))
    columns, rows = -(-width // cell), -(-height // cell)
    scale, (shift_x, shift_y) = pose.scale, pose.shift.tolist()
    across, down = width / columns / scale, height / rows / scale
    x = across, (left - 0.5 - shift_x) / scale + across / 2
    y = down, (top - 0.5 - shift_y) / scale + down / 2
    chart, miss = _intersect(pose, model, _grid(columns, rows), x, y)
    return Mesh(chart.reshape(3, rows, columns), miss.reshape(rows, columns), box, rim)


@lru_cache(maxsize=64)
def _grid(columns: int, rows: int) -> np.ndarray:
    """(3, rows * columns) float32: column, row and 1 of every node."""
    row, column = np.mgrid[:rows, :columns].reshape(2, -1)
    return np.stack([column, row, np.ones_like(row)]).astype(np.float32)


def _intersect(
    pose: Pose, model: Sections, grid: np.ndarray, x: tuple[float, float], y: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Meet the rays through the nodes of a grid with the head; `x` and `y` are its step and its
    first node in the view, in mm.

    Returns the chart (3, nodes) and the miss (nodes,), see `Mesh`. The section a ray meets depends
    on the height at which it meets it: with a nodding head that is solved by a few repetitions.

    A ray is known by `aside`, how far it passes from the head's axis as seen from above, and by the
    height at which it comes `nearest` to it; where it meets the head is counted in `reach` from
    there, in mm as seen from above.
    """
    (xx, xy, xz), (yx, yy, yz), (dx, dy, dz) = pose.rotation.tolist()
    xx, yx, dx = xx / pose.width, yx / pose.width, dx / pose.width
    xy, yy, dy = xy / pose.length, yy / pose.length, dy / pose.length
    length = max(hypot(dx, dz), 1e-3)
    dx, dy, dz = dx / length, dy / length, dz / length
    planes = [
        (xx * dz - xz * dx, yx * dz - yz * dx, 0.0),
        (xy - (xx * dx + xz * dz) * dy, yy - (yx * dx + yz * dz) * dy, 0.0),
        (
            xy,
            yy,
            8 * dy,
            # a first guess of the level: the height at which the ray would meet the parabola, with
            # the next
        ),
        (_BEND * abs(dy) ** 0.5, 0.0, 0.0),
    ]
    (across, first_x), (down, first_y) = x, y
    matrix = [(a * across, b * down, a * first_x + b * first_y + c) for a, b, c in planes]
    aside, nearest, level, bow = np.array(matrix, np.float32) @ grid
    bow *= bow
    level = level - bow if dy > 0 else level + bow
    view = _seen_from(model, round(atan2(dx, dz) / _TURN))
    tilt, dy = abs(dy), np.float32(dy)
    for _ in range(0 if tilt < 0.15 else 1 if tilt < 0.3 else 2 if tilt < 0.45 else 4):
        level = _meet(view, level, aside)[0]
        level *= dy
        level += nearest
    reach, miss, outer = _meet(view, level, aside)
    spot = outer[:2] * aside
    spot += outer[2:4] * reach
    spot[1] += outer[4]
    chart = np.empty((3, len(reach)), np.float32)
    np.arctan2(spot[0], spot[1], out=chart[0])
    chart[0] *= _ARC
    reach *= dy
    np.add(nearest, reach, out=chart[1])
    chart[2] = _ONE
    return chart, miss


# 8 KiB each; faces turned by up to 15 degrees need about a hundred for each kind of mask
@lru_cache(maxsize=2048)
def _seen_from(model: Sections, turn: int) -> np.ndarray:
    """(17, rows) float32: all that `_meet` needs to know of the sections when the rays come from so
    many _TURNs to the side.

    With half width a, depth b and centre z = c of an ellipse, and rays (x, z) + t (dx, dz), what is
    tabulated for the skull and for the nose is: how far aside the ray passes, in half widths as
    seen from there (factor and offset); half the length of the longest chord; where its middle lies
    (factor of aside, and offset); and the mm of a unit of the first. Then what takes (aside, reach)
    to x and z over the outer ellipse's half width and depth, (2 + 2 factors, and an offset of z),
    which defines the angle around the head.
    """
    dx, dz = sin(turn * _TURN), cos(turn * _TURN)
    (a, b, c), (outer_a, outer_b) = model.ellipses
    square = (dx / a) ** 2 + (dz / b) ** 2
    factor = 1 / (a * b * np.sqrt(square))
    middle = dx * dz * (b**-2 - a**-2) / square
    table = [
        factor,
        factor * c * dx,
        square**-0.5,
        middle,
        c * dz / b**2 / square,
        np.minimum(a, b),
    ]
    return np.concatenate(
        [*table, [dz / outer_a, -dx / outer_b, dx / outer_a, dz / outer_b, -EAR_Z / outer_b]]
    ).astype(np.float32)


def _meet(
    view: np.ndarray, level: np.ndarray, aside: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Meet rays, as `_intersect` knows them, with the two ellipses of their level.

    Returns the greatest reach, smoothed; by how many mm the ray misses; and the view's rows for the
    outer ellipse there.
    """
    section = view.take(Sections.rows(level), axis=1, mode="clip")
    beside, offset, chord, middle, depth, radius = section[:12].reshape(6, 2, -1)
    beside *= aside
    beside += offset
    np.abs(beside, out=beside)
    reach = beside * beside
    np.subtract(_ONE, reach, out=reach)
    np.maximum(reach, _NOTHING, out=reach)
    np.sqrt(reach, out=reach)
    reach *= chord
    middle *= aside
    reach += middle
    reach += depth
    miss = beside
    miss -= _ONE
    miss *= radius
    reach -= np.maximum(miss, _NOTHING)
    skull, nose = reach
    smooth = np.hypot(skull - nose, _SMOOTH)
    smooth += skull
    smooth += nose
    smooth *= _HALF
    return smooth, np.minimum(miss[0], miss[1]), section[12:]
