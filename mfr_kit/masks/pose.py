"""Head pose from landmarks: weak perspective, fitted to our 3-D points in a few closed steps."""

from dataclasses import dataclass
from functools import lru_cache
from math import asin, atan2, cos, degrees, isfinite, sin, sqrt
from operator import mul

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.masks import head

Rows = list[list[float]]

_MEAN = head.LANDMARKS.mean(axis=0).tolist()
_CENTRED = (head.LANDMARKS - head.LANDMARKS.mean(axis=0)).tolist()
_AFFINE = np.linalg.pinv(
    np.array(_CENTRED)
).tolist()  # (3, 5): least squares from five image points to an affine projection
# landmark noise in mm (1.8) over the usual spread (7 %, 7 %, 0.26 rad)
_WIDTH_PRIOR, _LENGTH_PRIOR, _PITCH_PRIOR = 25.0, 25.0, 7.0
_BIN = 0.04  # radians within which the normal equations count as constant


@dataclass(frozen=True)
class Pose:
    """Where a head is: image = scale * (rotation[:2] @ (point * shape)) + shift, with z of rotation
    @ point towards the camera.

    `scale` is pixels per mm; `shape` stretches the head's x and y (a wide or a long face); angles
    are in degrees.
    """

    rotation: np.ndarray
    scale: float
    shift: np.ndarray
    width: float
    length: float
    jaw: float = 1.0

    @property
    def yaw(self) -> float:
        """Turn to the side in degrees; positive when the nose points to the image's right."""
        return degrees(atan2(self.rotation[0, 2], self.rotation[2, 2]))

    @property
    def pitch(self) -> float:
        """Nod in degrees; positive when the face looks down."""
        return degrees(asin(float(np.clip(self.rotation[1, 2], -1, 1))))

    @property
    def roll(self) -> float:
        """Tilt in the image plane in degrees; positive when the head's right side (image's
        right) is lower.
        """
        return degrees(atan2(self.rotation[1, 0], self.rotation[0, 0]))

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project (N, 3) head points in mm to (N, 2) pixels."""
        shaped = points * (self.width, self.length, 1.0)
        return shaped @ (self.scale * self.rotation[:2].T) + self.shift


def five_points(landmarks: np.ndarray) -> Rows:
    """Reduce 5, 68 (iBUG) or 106 (insightface) landmarks to pupils, nose tip and mouth corners,
    image left first, as [x, y] each.

    Raises:
        KitError: another number of points, points that are not finite, or points that coincide.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape == (68, 2):
        points = np.stack(
            [points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]]
        )
    elif points.shape == (106, 2):
        points = points[[38, 88, 86, 52, 61]]
    elif points.shape != (5, 2):
        raise KitError(
            f"landmarks of shape {points.shape}: the mask renderer takes (5, 2), (68, 2) or "
            "(106, 2) points in pixels"
        )
    left, right, nose, left_mouth, right_mouth = found = points.tolist()
    xs, ys = zip(*found, strict=True)
    if not isfinite(sum(xs) + sum(ys)) or max(max(xs) - min(xs), max(ys) - min(ys)) < 2:
        raise KitError(
            "landmarks that are not finite or lie within two pixels of each other: leave this "
            "face out"
        )
    down_x, down_y = (
        left_mouth[0] + right_mouth[0] - left[0] - right[0],
        left_mouth[1] + right_mouth[1] - left[1] - right[1],
    )
    if (right[0] - left[0]) * down_y < (
        right[1] - left[1]
    ) * down_x:  # mirrored by a flip upstream that did not rename left and right
        return [right, left, nose, right_mouth, left_mouth]
    return found


def estimate(landmarks: np.ndarray) -> Pose:
    """Estimate pose, size and proportions of a head from its landmarks.

    Args:
        landmarks: (5, 2), (68, 2) or (106, 2) points in pixels.
    Returns:
        The pose whose projection fits the points best in least squares, with a mild preference for
        average proportions.
    Raises:
        KitError: see `five_points`.
    """
    # The image's points as complex numbers: half the arithmetic, and a roll is a factor. NumPy
    # would take longer over five of them.
    points = [complex(x, y) for x, y in five_points(landmarks)]
    centre = sum(points) / 5
    v, w, x, y, z = image = [point - centre for point in points]
    axes, scale = _closed_form([a * v + b * w + c * x + d * y + e * z for a, b, c, d, e in _AFFINE])
    (first, second, third), scale, width, length = _refine(image, axes, scale)
    shift = centre - scale * (
        first * (_MEAN[0] * width) + second * (_MEAN[1] * length) + third * _MEAN[2]
    )
    rotation = [
        [axis.real for axis in (first, second, third)],
        [axis.imag for axis in (first, second, third)],
    ]
    rotation.append([_depth(second, third), _depth(third, first), _depth(first, second)])
    pose = Pose(np.array(rotation), scale, np.array([shift.real, shift.imag]), width, length)
    return pose if len(landmarks) == 5 else _with_jaw(pose, np.asarray(landmarks, np.float64))


def _depth(near: complex, other: complex) -> float:
    """The z of the cross product of two image vectors: a rotation's third row, from the other
    two columns of the first two.
    """
    return near.real * other.imag - near.imag * other.real


def _closed_form(axes: list[complex]) -> tuple[list[complex], float]:
    """Turn an affine projection (where it takes the head's three axes) into the nearest rotation
    and scale: polar decomposition.
    """
    x, y, z = axes
    total = abs(x) ** 2 + abs(y) ** 2 + abs(z) ** 2
    # 0 for a rotation: its rows are as long as each other and perpendicular
    skew = x * x + y * y + z * z
    root = 0.5 * sqrt(max(total * total - abs(skew) ** 2, 1e-12))
    square = max(total + 2 * root, 1e-12)
    trace = sqrt(square)
    k = 0.5 / (root * trace)
    return [k * (square * axis - skew * axis.conjugate()) for axis in axes], trace / 2


def _refine(
    image: list[complex], axes: list[complex], scale: float
) -> tuple[list[complex], float, float, float]:
    """Take one Gauss-Newton step over log scale, three small rotations, and the face's width and
    length (from 1).
    """
    first, second, third = axes
    roll = first / max(abs(first), 1e-12)
    upright = roll.conjugate()
    turned, shrunk = [axis * upright for axis in axes], upright / scale
    a, b, c = turned
    residual = [
        point * shrunk - (x * a + y * b + z * c)
        for point, (x, y, z) in zip(image, _CENTRED, strict=True)
    ]
    flat = [part.real for part in residual] + [part.imag for part in residual] + [1.0]
    tilt = asin(max(-1.0, min(1.0, c.imag)))
    turn = atan2(c.real, _depth(first, second))
    gain = _gain(round(turn / _BIN), round(tilt / _BIN))
    growth, x, y, z, wider, longer = [sum(map(mul, row, flat)) for row in gain]
    axis = roll * complex(x, y)
    step = _small_rotation(axis.real, axis.imag, z)
    depths = _depth(second, third), _depth(third, first), _depth(first, second)
    moved = [_turned(step, axis, depth) for axis, depth in zip(axes, depths, strict=True)]
    width, length = min(max(1 + wider, 0.75), 1.3), min(max(1 + longer, 0.75), 1.3)
    return moved, scale * (1 + min(max(growth, -0.5), 0.5)), width, length


def _turned(step: Rows, column: complex, depth: float) -> complex:
    (a, b, c), (d, e, f) = step
    x, y = column.real, column.imag
    return complex(a * x + b * y + c * depth, d * x + e * y + f * depth)


@lru_cache(maxsize=4096)
def _gain(turn: int, tilt: int) -> Rows:
    """The step's linear map for an upright head turned and tilted by so many bins: (6, 11), ten
    residuals in mm and a constant.

    The normal equations of least squares with priors depend on the rotation alone and change little
    within a bin, so they are solved once for each bin that occurs.
    """
    yaw, pitch = turn * _BIN, tilt * _BIN
    turned = np.array([[cos(yaw), 0, sin(yaw)], [0, 1, 0], [-sin(yaw), 0, cos(yaw)]])
    rotation = (
        np.array([[1, 0, 0], [0, cos(pitch), sin(pitch)], [0, -sin(pitch), cos(pitch)]]) @ turned
    )
    points = np.array(_CENTRED)
    x, y, z = (points @ rotation.T).T
    nothing = np.zeros(5)
    columns = [(x, y), (nothing, -z), (z, nothing), (-y, x)]
    columns += [
        (rotation[0, axis] * points[:, axis], rotation[1, axis] * points[:, axis])
        for axis in (0, 1)
    ]
    jacobian = np.array([np.concatenate(pair) for pair in columns]).T
    prior = np.diag([0.0, _PITCH_PRIOR**2, 0.0, 0.0, _WIDTH_PRIOR**2, _LENGTH_PRIOR**2])
    pull = np.zeros((6, 1))
    pull[1] = _PITCH_PRIOR**2 * pitch
    return np.linalg.solve(jacobian.T @ jacobian + prior, np.hstack([jacobian.T, pull])).tolist()


def _small_rotation(x: float, y: float, z: float) -> Rows:
    """First two rows of the matrix of a rotation vector (Rodrigues)."""
    angle = sqrt(x * x + y * y + z * z)
    s, c = (sin(angle) / angle, (1 - cos(angle)) / (angle * angle)) if angle > 1e-9 else (1.0, 0.5)
    return [
        [1 - c * (y * y + z * z), c * x * y - s * z, c * x * z + s * y],
        [c * x * y + s * z, 1 - c * (x * x + z * z), c * y * z - s * x],
    ]


def _with_jaw(pose: Pose, points: np.ndarray) -> Pose:
    """Follow the visible jaw line of 68 or 106 landmarks: cheek width, jaw width and chin
    height.
    """
    contour = points[:17] if len(points) == 68 else points[:33]
    local = ((contour - pose.shift) / pose.scale) @ pose.rotation[:2, :2]
    half = np.array([-local[:, 0].min(), local[:, 0].max()]) / (1 + abs(sin(np.radians(pose.yaw))))
    lower = np.abs(local[local[:, 1] > 0.6 * local[:, 1].max(), 0])
    width = float(np.clip(half.mean() / 70.0, 0.8, 1.25))
    jaw = float(np.clip(lower.max() / (58.0 * width), 0.85, 1.2)) if abs(pose.yaw) < 25 else 1.0
    length = float(np.clip(local[:, 1].max() / 117.0, 0.8, 1.25))
    return Pose(
        pose.rotation,
        pose.scale,
        pose.shift,
        0.5 * (width + pose.width),
        0.5 * (length + pose.length),
        jaw,
    )
