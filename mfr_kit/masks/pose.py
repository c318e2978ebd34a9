"""Head pose from landmarks: weak perspective, fitted to our 3-D points in a few closed steps."""

from dataclasses import dataclass
from math import asin, atan2, cos, degrees, sin, sqrt

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.masks import head

_CENTRED = head.LANDMARKS - head.LANDMARKS.mean(axis=0)
_AFFINE = np.linalg.pinv(_CENTRED)  # (3, 5): least squares from five image points to a 2x3 projection
_WIDTH_PRIOR, _LENGTH_PRIOR, _PITCH_PRIOR = 25.0, 25.0, 7.0  # landmark noise in mm (1.8) over the usual spread (7 %, 7 %, 0.26 rad)
_STEPS = 3


@dataclass(frozen=True)
class Pose:
    """Where a head is: image = scale * (rotation[:2] @ (point * shape)) + shift, with z of rotation @ point towards the camera.

    `scale` is pixels per mm; `shape` stretches the head's x and y (a wide or a long face); angles are in degrees.
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
        """Tilt in the image plane in degrees; positive when the head's right side (image's right) is lower."""
        return degrees(atan2(self.rotation[1, 0], self.rotation[0, 0]))

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project (N, 3) head points in mm to (N, 2) pixels."""
        shaped = points * (self.width, self.length, 1.0)
        return shaped @ (self.scale * self.rotation[:2].T) + self.shift


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Reduce 5, 68 (iBUG) or 106 (insightface) landmarks to pupils, nose tip and mouth corners, (5, 2) float64.

    Raises:
        KitError: another number of points, points that are not finite, or points that coincide.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape == (68, 2):
        points = np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])
    elif points.shape == (106, 2):
        points = points[[38, 88, 86, 52, 61]]
    elif points.shape != (5, 2):
        raise KitError(f"landmarks of shape {points.shape}: the mask renderer takes (5, 2), (68, 2) or (106, 2) points in pixels")
    spread = points - points.mean(axis=0)
    if not np.isfinite(points).all() or float((spread * spread).sum()) < 4.0:
        raise KitError("landmarks that are not finite or lie within a pixel of each other: leave this face out")
    return points


def estimate(landmarks: np.ndarray) -> Pose:
    """Estimate pose, size and proportions of a head from its landmarks.

    Args:
        landmarks: (5, 2), (68, 2) or (106, 2) points in pixels.
    Returns:
        The pose whose projection fits the points best in least squares, with a mild preference for average proportions.
    Raises:
        KitError: see `five_points`.
    """
    points = five_points(landmarks)
    centre = points.mean(axis=0)
    image = points - centre
    rotation, scale = _closed_form(_AFFINE @ image)
    shape = np.ones(3)
    for _ in range(_STEPS):
        rotation, scale, shape = _refine(image, rotation, scale, shape)
    middle = head.LANDMARKS.mean(axis=0) * shape
    shift = centre - scale * (rotation[:2] @ middle)
    pose = Pose(rotation, scale, shift, float(shape[0]), float(shape[1]))
    return pose if len(landmarks) == 5 else _with_jaw(pose, np.asarray(landmarks, np.float64))


def _closed_form(affine: np.ndarray) -> tuple[np.ndarray, float]:
    """Turn a (3, 2) affine projection into the nearest rotation and scale (polar decomposition of two rows)."""
    (a, b), (c, d), (e, f) = affine.tolist()
    p, q, r = a * a + c * c + e * e, a * b + c * d + e * f, b * b + d * d + f * f
    root = sqrt(max(p * r - q * q, 1e-12))  # M (M'M)^(-1/2) for the 2x2 Gram matrix [[p, q], [q, r]]
    trace = sqrt(max(p + r + 2 * root, 1e-12))
    k = 1 / (root * trace)
    u, v, w = (r + root) * k, -q * k, (p + root) * k
    x = (u * a + v * b, u * c + v * d, u * e + v * f)
    y = (v * a + w * b, v * c + w * d, v * e + w * f)
    z = (x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0])
    return np.array([x, y, z]), trace / 2


def _refine(image: np.ndarray, rotation: np.ndarray, scale: float, shape: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Take one Gauss-Newton step over log scale, three small rotations, width and length of the face."""
    turned = (_CENTRED * shape) @ rotation.T
    x, y, z = turned.T
    jacobian = np.zeros((13, 6))
    jacobian[:5, 0], jacobian[5:10, 0] = x, y
    jacobian[5:10, 1] = -z
    jacobian[:5, 2] = z
    jacobian[:5, 3], jacobian[5:10, 3] = -y, x
    stretched = _CENTRED * shape
    jacobian[:5, 4], jacobian[5:10, 4] = stretched[:, 0] * rotation[0, 0], stretched[:, 0] * rotation[1, 0]
    jacobian[:5, 5], jacobian[5:10, 5] = stretched[:, 1] * rotation[0, 1], stretched[:, 1] * rotation[1, 1]
    residual = np.zeros(13)
    residual[:5], residual[5:10] = image[:, 0] / scale - x, image[:, 1] / scale - y
    jacobian[10, 4], residual[10] = _WIDTH_PRIOR, _WIDTH_PRIOR * (1 - shape[0])
    jacobian[11, 5], residual[11] = _LENGTH_PRIOR, _LENGTH_PRIOR * (1 - shape[1])
    jacobian[12, 1], residual[12] = _PITCH_PRIOR, _PITCH_PRIOR * asin(max(-1.0, min(1.0, rotation[1, 2])))
    step = np.linalg.solve(jacobian.T @ jacobian, jacobian.T @ residual).tolist()
    growth = min(max(step[0], -0.5), 0.5)
    shape = np.array([min(max(shape[0] * (1 + step[4]), 0.75), 1.3), min(max(shape[1] * (1 + step[5]), 0.75), 1.3), 1.0])
    return _small_rotation(step[1], step[2], step[3]) @ rotation, scale * (1 + growth), shape


def _small_rotation(x: float, y: float, z: float) -> np.ndarray:
    """Rotation matrix of a rotation vector (Rodrigues)."""
    angle = sqrt(x * x + y * y + z * z)
    s, c = (sin(angle) / angle, (1 - cos(angle)) / (angle * angle)) if angle > 1e-9 else (1.0, 0.5)
    return np.array(
        [
            [1 - c * (y * y + z * z), c * x * y - s * z, c * x * z + s * y],
            [c * x * y + s * z, 1 - c * (x * x + z * z), c * y * z - s * x],
            [c * x * z - s * y, c * y * z + s * x, 1 - c * (x * x + y * y)],
        ]
    )


def _with_jaw(pose: Pose, points: np.ndarray) -> Pose:
    """Follow the visible jaw line of 68 or 106 landmarks: cheek width, jaw width and chin height."""
    contour = points[:17] if len(points) == 68 else points[:33]
    local = ((contour - pose.shift) / pose.scale) @ pose.rotation[:2, :2]
    half = np.array([-local[:, 0].min(), local[:, 0].max()]) / (1 + abs(sin(np.radians(pose.yaw))))
    lower = np.abs(local[local[:, 1] > 0.6 * local[:, 1].max(), 0])
    width = float(np.clip(half.mean() / 70.0, 0.8, 1.25))
    jaw = float(np.clip(lower.max() / (58.0 * width), 0.85, 1.2)) if abs(pose.yaw) < 25 else 1.0
    length = float(np.clip(local[:, 1].max() / 117.0, 0.8, 1.25))
    return Pose(pose.rotation, pose.scale, pose.shift, 0.5 * (width + pose.width), 0.5 * (length + pose.length), jaw)
