"""Five landmarks to the ArcFace 112x112 frame by a least-squares similarity."""

import cv2
import numpy as np

SIZE = 112
NARROW = 96  # width of SphereFace's crops, 112 high
# Eyes, nose tip, mouth corners of the published ArcFace template (112x112); the 96x112 one has x
# smaller by 8.
TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    np.float32,
)


def estimate_similarity(landmarks: np.ndarray, template: np.ndarray = TEMPLATE) -> np.ndarray:
    """Find the rotation, scale and shift that brings landmarks nearest to a template in the
    least-squares sense.

    A 2-D similarity is one complex multiplication and one addition, so the optimum is a complex
    linear regression; it equals Umeyama's solution (`insightface.utils.face_align.estimate_norm`)
    for points that are not mirrored.

    Args:
        landmarks: (N, 2) points in the photograph's pixels, N >= 2, not all equal.
        template: (N, 2) points in the aligned frame.
    Returns:
        (2, 3) float64 matrix for `warp` and `transform_points`.
    """
    source, target = (
        [complex(x, y) for x, y in np.asarray(points, np.float64).tolist()]
        for points in (landmarks, template)
    )
    here, there = sum(source) / len(source), sum(target) / len(target)
    spread = sum(abs(point - here) ** 2 for point in source)
    turn = (
        sum(
            (point - here).conjugate() * (aim - there)
            for point, aim in zip(source, target, strict=True)
        )
        / spread
    )
    shift = there - turn * here
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def warp(image: np.ndarray, matrix: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Bring (H, W, 3) uint8 into the (size, size, 3) aligned frame, bilinear, black outside the
    photograph.
    """
    return cv2.warpAffine(
        image,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0, 0, 0),
    )


def chain(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The (2, 3) matrix that does `first` and then `second`."""
    return second[:, :2] @ first + np.array([[0, 0, 1]]) * second[:, 2:]


def as_crop(image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Take an image that is aligned already as a face of the ArcFace frame.

    A crop of 96x112 (width x height), the frame of SphereFace, is the same without eight columns on
    either side: these are added, black.

    Returns:
        the (112, 112, 3) face and the (2, 3) matrix from the image to it; None for any other size.
    """
    if image.shape[:2] == (SIZE, SIZE):
        return image, np.eye(2, 3)
    if image.shape[:2] == (SIZE, NARROW):
        side = (SIZE - NARROW) // 2
        padded = cv2.copyMakeBorder(image, 0, 0, side, side, cv2.BORDER_CONSTANT)
        return padded, np.array([[1.0, 0, side], [0, 1, 0]])
    return None


def transform_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply a (2, 3) matrix to (N, 2) points; returns (N, 2) float32."""
    return (np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
