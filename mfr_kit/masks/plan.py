"""Where one mask goes on one face, and what was drawn for it: everything of a render that is no
work on every pixel, and all of its randomness.
"""

from dataclasses import dataclass
from math import hypot

import cv2
import numpy as np

from mfr_kit.masks import grade, surface
from mfr_kit.masks.library import Mask
from mfr_kit.masks.pose import Pose, estimate
from mfr_kit.masks.wear import Wear

NODES = 14
"""Mesh nodes along the longer side of the mask's region: finer does not show (see
benchmarks/masks.py).
"""
MARGIN_MM = 3.5  # how far the shadow reaches beyond what is painted
_WORN = ("top", "bottom", "width", "shift", "tilt_deg")


@dataclass(frozen=True)
class MaskPlan:
    """What the pixels of one render are made from, beside the face.

    Args:
        mask: what is drawn.
        mesh: where the rays through a box of the image meet the head; the box is what changes.
        places: (2, rows, columns) float32, x and y of the mesh's nodes in texels of `level`.
        level: entry of the look's `levels`.
        scale: pixels a mm.
        grain: of the photograph, which the mask takes on.
        noise: (h, w, 3) float32 laid over the mask in the box; None for looks without.
    """

    mask: Mask
    mesh: surface.Mesh
    places: np.ndarray
    level: int
    scale: float
    grain: grade.Grain
    noise: np.ndarray | None

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of what changes, in pixels of the image."""
        return self.mesh.box

    @property
    def reach(self) -> int:
        """How far the shadow reaches: the odd number of pixels that it is blurred over."""
        return max(3, int(2 * MARGIN_MM * self.scale) | 1)


def plan(
    face: np.ndarray,
    landmarks: np.ndarray,
    mask: Mask,
    rng: np.random.Generator,
    nodes: int = NODES,
) -> MaskPlan | None:
    """Work out where a mask goes; the arguments are `render`'s.

    Returns:
        None where all of the mask lies outside the image.
    Raises:
        KitError: unusable landmarks.
    """
    pose = estimate(landmarks)
    look, values = mask.look, mask.parameters
    wear = Wear(**{name: values[name] for name in _WORN})
    height, width = face.shape[:2]
    reach = _box(mask, wear, pose)
    left, top, right, bottom = box = (
        max(reach[0], 0),
        max(reach[1], 0),
        min(reach[2], width),
        min(reach[3], height),
    )
    if right - left < 1 or bottom - top < 1:
        return None
    found = grade.measure(face[top:bottom, left:right])
    mesh = surface.solve(pose, look.fit.sections.widened(pose.jaw), box, nodes)
    level = look.level(pose.scale, hypot(found.blur, values["softness"]))
    places = wear.to_texture(mesh.chart, look.fit, _texels_a_mm(look, level), look.box[:2])
    grain = grade.place_grain(0.0 if look.flat else found.grain, rng)
    noise = None
    if look.noise:
        noise = np.asarray(rng.standard_normal((bottom - top, right - left, 3), np.float32))
        np.multiply(noise, np.float32(look.noise), out=noise)
    return MaskPlan(mask, mesh, places, level, pose.scale, grain, noise)


def _texels_a_mm(look, level: int) -> tuple[float, float]:
    left, top, right, bottom = look.box
    rows, columns = look.levels[level].shape[:2]
    return columns / (right - left), rows / (bottom - top)


def _box(mask: Mask, wear: Wear, pose: Pose) -> tuple[int, int, int, int]:
    """Bound what is painted in the image: left, top, right, bottom in whole pixels."""
    stretch, offset = wear.heights(mask.look.fit)
    scale, length = pose.scale, pose.scale * pose.length
    (xx, xy, xz), (yx, yy, yz), _ = pose.rotation.tolist()
    across, along = scale * pose.width * max(wear.width, 1.0), stretch * length
    shift_x, shift_y = pose.shift.tolist()
    matrix = [(across * xx, along * xy, scale * xz, shift_x + offset * length * xy)]
    matrix.append((across * yx, along * yy, scale * yz, shift_y + offset * length * yy))
    left, top, width, height = cv2.boundingRect(cv2.transform(mask.look.rim, np.array(matrix)))
    margin = int((MARGIN_MM + abs(wear.shift)) * scale + 2)
    return left - margin, top - margin, left + width + margin, top + height + margin
