"""A face in a photograph laid out on the chart of the mask library: the head is fitted, every pixel
goes to the place of the chart that it shows, and the side that is turned away is taken from the
other one.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from mfr_kit.masks import surface
from mfr_kit.masks.fields import BOX
from mfr_kit.masks.pose import Pose, estimate
from mfr_kit.masks.template import Fit

SCALE = 2.0
"""Chart pixels a mm."""
SHAPE = round((BOX[3] - BOX[1]) * SCALE), round((BOX[2] - BOX[0]) * SCALE)
_DENSE = 2.5  # pixels a mm of the enlarged photograph: nearly every chart pixel gets one
_REACH = 165.0  # mm around the middle of the face that are looked at
_MIDDLE = np.array([[0.0, 55.0, 0.0]])
_CELL = 4  # pixels of the enlarged photograph between nodes
_SEEN = 0.3  # of a straight view's density, below which the other side shows a place better
_TURNED_DEG = 12.0  # from here on a head has a near side and a far one
_FADE = 8.0  # mm around the middle over which one goes into the other
# What a mask of unknown make stands off the face: a pleated one, as worn.
WORN = Fit(top=14.0, bottom=121.0, side=82.0, bulge=5.0, bulge_height=64.0)


@dataclass(frozen=True)
class ChartView:
    """A face on the chart.

    Args:
        image: `SHAPE` + (3,), float32 RGB in 0..255.
        seen: `SHAPE`, float32 in 0..1: how densely the photograph shows a place, 1 where it is seen
            straight; places filled from the other side have that side's.
        pose: of the head in the photograph.
        shown: (H, W, 3) uint8 RGB, the photograph around the face, enlarged.
        chart: (2, H, W) float32, U and V in mm of its pixels; NaN beside the head.
    """

    image: np.ndarray
    seen: np.ndarray
    pose: Pose
    shown: np.ndarray
    chart: np.ndarray


def places() -> tuple[np.ndarray, np.ndarray]:
    """U and V in mm of the chart's pixels, each `SHAPE` float32."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    return BOX[0] + (columns + 0.5) / SCALE, BOX[1] + (rows + 0.5) / SCALE


def view(photo: np.ndarray, landmarks: np.ndarray) -> ChartView:
    """Lay a face out on the chart.

    Args:
        photo: (H, W, 3) uint8 RGB.
        landmarks: (5, 2), (68, 2) or (106, 2) points in its pixels.
    Raises:
        KitError: unusable landmarks.
    """
    pose = estimate(landmarks)
    shown, inside, matrix = _enlarge(photo, pose)
    # points of the photograph go to `shown` by the same matrix, so the fit moves with them
    moved = Pose(
        pose.rotation,
        pose.scale * matrix[0, 0],
        matrix[:, :2] @ pose.shift + matrix[:, 2],
        pose.width,
        pose.length,
        pose.jaw,
    )
    side = shown.shape[0]
    sections = WORN.sections.widened(moved.jaw)
    mesh = surface.solve(moved, sections, (0, 0, side, side), side // _CELL)
    u, v, miss = (mesh.spread(layer) for layer in (*mesh.chart[:2], mesh.miss))
    hit = (miss < 0) & (inside > 0)
    image, seen = _collect(shown, u, v, hit)
    chart = np.where(miss < 0, np.stack([u, v]), np.float32(np.nan))
    return ChartView(*_take_other_side(image, seen, pose.yaw), pose, shown, chart)


def _enlarge(photo: np.ndarray, pose: Pose) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Show the face at `_DENSE` pixels a mm: the picture, where it lies inside the photograph, and
    the matrix (2, 3) from the photograph's pixels.
    """
    factor = _DENSE / pose.scale
    if factor < 0.5:  # shrink by areas first: cubic sampling alone would alias
        share = 2 * factor
        size = [max(round(length * share), 1) for length in photo.shape[1::-1]]
        small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    else:
        share, small = 1.0, photo
    side = round(2 * _REACH * _DENSE)
    middle = pose.project(_MIDDLE)[0]
    matrix = np.array(
        [[factor, 0, side / 2 - factor * middle[0]], [0, factor, side / 2 - factor * middle[1]]]
    )
    shift = 0.5 * share - 0.5  # a pixel's centre lies at its index
    step = matrix.copy()
    step[:, :2] /= share
    step[:, 2] -= step[:, :2] @ np.full(2, shift)
    shown = cv2.warpAffine(small, step, (side, side), flags=cv2.INTER_CUBIC)
    ones = np.full(small.shape[:2], 255, np.uint8)
    inside = cv2.warpAffine(ones, step, (side, side), flags=cv2.INTER_NEAREST)
    return shown, inside, matrix


def _collect(
    shown: np.ndarray, u: np.ndarray, v: np.ndarray, hit: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Average the pixels that show each place of the chart; places between are interpolated."""
    columns = np.floor((u - BOX[0]) * SCALE).astype(np.intp)
    rows = np.floor((v - BOX[1]) * SCALE).astype(np.intp)
    on_chart = hit & (rows >= 0) & (rows < SHAPE[0]) & (columns >= 0) & (columns < SHAPE[1])
    where = (rows * SHAPE[1] + columns)[on_chart]
    size = SHAPE[0] * SHAPE[1]
    count = np.bincount(where, minlength=size).reshape(SHAPE).astype(np.float32)
    channels = cv2.split(shown[on_chart][:, None])
    sums = [np.bincount(where, channel.ravel(), size).reshape(SHAPE) for channel in channels]
    total = np.dstack(sums).astype(np.float32)
    image = total / np.maximum(count, 1)[..., None]
    empty = count == 0
    for reach in (3, 7, 15):  # few places have no pixel of their own, but for those seen aslant
        near = cv2.blur(count, (reach, reach))
        found = empty & (near > 1e-6)
        image[found] = cv2.blur(total, (reach, reach))[found] / near[found][:, None]
        empty &= ~found
    straight = (_DENSE / SCALE) ** 2
    return image, np.minimum(cv2.blur(count, (9, 9)) / straight, 1.0)


def _take_other_side(
    image: np.ndarray, seen: np.ndarray, yaw_deg: float
) -> tuple[np.ndarray, np.ndarray]:
    """Take the far side of a turned head from the near one, and of a straight head what only the
    other side shows.

    Landmarks under a mask say a turn to ten degrees or so: past the nose of a turned head the fit
    meets background, not the far cheek.
    """
    u = places()[0]
    lacking = (seen < _SEEN) & (seen < seen[:, ::-1])
    share: np.ndarray = lacking.astype(np.float32)
    if abs(yaw_deg) > _TURNED_DEG:  # positive: the nose, and the far cheek, to the image's right
        share = np.clip(np.float32(np.sign(yaw_deg) / _FADE) * u + np.float32(0.5), 0, 1)
    share = cv2.blur(share, (15, 15)) * (seen[:, ::-1] > 0)
    mixed = image + (image[:, ::-1] - image) * share[..., None]
    return mixed, seen + (seen[:, ::-1] - seen) * share
