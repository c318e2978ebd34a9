"""Landmarks that a mask does not move: the median over several looks at the same face.

A mask hides the nose tip and the mouth corners, and the detector's guess of them depends on how large the face is shown and on
which side is left. Looking at several scales, and at the mirror image, and taking the median of each point averages that out.
"""

from dataclasses import replace

import cv2
import numpy as np

from mfr_kit.data.detect import Attempt, Detection, YuNet, same_face

FACE_SIDES = (48, 64, 84, 110, 144)  # pixels that the face's box is brought to, one look each
CONTEXT = 0.5  # of the box's side, shown around it on every side
_MIRRORED = [1, 0, 2, 4, 3]  # eyes and mouth corners change places


class RobustYuNet:
    """A YuNet that looks again, at several scales and mirrored, at the face that was picked.

    Args:
        detector: finds the faces and takes the further looks.
        face_sides: sizes to look at, in pixels of the face's longer side.
        mirror: look at the mirror images too.
    """

    def __init__(self, detector: YuNet, face_sides: tuple[int, ...] = FACE_SIDES, mirror: bool = True) -> None:
        self._detector, self._face_sides, self._mirror = detector, face_sides, mirror

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Find the faces of an (H, W, 3) uint8 RGB photograph, each seen once."""
        return self._detector.detect(image)

    def settle(self, image: np.ndarray, face: Detection) -> Detection:
        """Replace a face's landmarks by the median over all looks that find it.

        Its score becomes a confidence: the mean over all looks, with 0 for those that do not find it again.
        """
        looks = [face]
        for side in self._face_sides:
            crop, scale, corner = _crop(image, face, side)
            for mirrored in (False, True)[: 1 + self._mirror]:
                again = self._look(crop[:, ::-1] if mirrored else crop, scale, corner, face, mirrored)
                if again is not None:
                    looks.append(again)
        tried = 1 + len(self._face_sides) * (1 + self._mirror)
        landmarks = np.median([look.landmarks for look in looks], axis=0).astype(np.float32)
        return replace(face, landmarks=landmarks, score=float(sum(look.score for look in looks) / tried))

    def _look(self, crop: np.ndarray, scale: float, corner: np.ndarray, face: Detection, mirrored: bool) -> Detection | None:
        found = self._detector.look(np.ascontiguousarray(crop), Attempt(max(crop.shape[:2]), 1.0, 0.0, 0.3))
        return same_face([_restore(look, crop.shape[1], scale, corner, mirrored) for look in found], face)


def _crop(image: np.ndarray, face: Detection, side: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Cut the face and its surroundings out, black outside the photograph, at the scale that makes the face `side` pixels."""
    scale = side / float(face.box[2:].max())
    centre = face.box[:2] + face.box[2:] / 2
    half = float(face.box[2:].max()) * (0.5 + CONTEXT)
    size = round(2 * half * scale)
    corner = centre - half
    matrix = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
    if scale < 0.5:  # bilinear sampling alone would alias; shrink by whole steps first
        step = int(0.5 / scale) + 1
        image = cv2.resize(image, (max(1, image.shape[1] // step), max(1, image.shape[0] // step)), interpolation=cv2.INTER_AREA)
        matrix[:, :2] *= step
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR), scale, corner


def _restore(look: Detection, width: int, scale: float, corner: np.ndarray, mirrored: bool) -> Detection:
    """Bring a look's box and landmarks back into the photograph's pixels."""
    box, landmarks = look.box.copy(), look.landmarks.copy()
    if mirrored:
        box[0] = width - box[0] - box[2]
        landmarks[:, 0] = width - 1 - landmarks[:, 0]
        landmarks = landmarks[_MIRRORED]
    return Detection(
        np.concatenate([box[:2] / scale + corner, box[2:] / scale]).astype(np.float32),
        (landmarks / scale + corner).astype(np.float32),
        look.score,
    )
