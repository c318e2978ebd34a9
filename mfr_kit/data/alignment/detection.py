"""What a detector finds in a photograph, and which of the faces the photograph is about."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Detection:
    """One face in a photograph, in the photograph's pixels."""

    box: np.ndarray  # (4,) float32: left, top, width, height; may reach over the photograph's edge
    # (5, 2) float32: viewer's left eye, right eye, nose tip, left and right mouth corner
    landmarks: np.ndarray
    score: float  # detector confidence in [0, 1]
    dense: np.ndarray | None = (
        # (68, 2) iBUG or (106, 2) InsightFace landmarks, float32, where the detector knows them
        None
    )

    @property
    def points(self) -> np.ndarray:
        """All that is known of the landmarks: the dense ones, else the five."""
        return self.landmarks if self.dense is None else self.dense


class Detector(Protocol):
    """What a file of `mfr_kit/data/detectors` gives with `load(model: Path | None)`."""

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Find the faces of an (H, W, 3) uint8 RGB photograph; an empty list where there is
        none.
        """

    def detect_in_crop(self, image: np.ndarray) -> list[Detection]:
        """Find the face that a crop was cut for: once, as it is, with a low threshold."""

    def refine(self, image: np.ndarray, face: Detection) -> Detection:
        """Improve the landmarks of the face that was picked, or add dense ones, where the
        detector knows how.
        """


def pick_face(detections: list[Detection], image_size: tuple[int, int]) -> Detection | None:
    """Pick the largest and most central face: area less twice the squared distance to the centre,
    InsightFace's rule.

    Args:
        detections: of one photograph.
        image_size: its (height, width).
    """
    centre = np.array([image_size[1], image_size[0]]) / 2

    def weight(face: Detection) -> float:
        offset = face.box[:2] + face.box[2:] / 2 - centre
        return float(face.box[2] * face.box[3] - 2 * offset @ offset)

    return max(detections, key=weight, default=None)


def usable(detections: list[Detection]) -> list[Detection]:
    """Drop what no alignment can be estimated from: numbers that are not finite, an empty box,
    landmarks within two pixels.
    """
    return [
        face
        for face in detections
        if np.isfinite(face.box).all()
        and np.isfinite(face.landmarks).all()
        and face.box[2:].min() > 0
        and np.ptp(face.landmarks, axis=0).max() >= 2
    ]


def same_face(detections: list[Detection], face: Detection) -> Detection | None:
    """Find a face again in another picture of the same scene: of those whose centre lies in its
    box, the nearest.

    A bystander that the detector prefers once the mask is on would otherwise be taken for the
    masked person.
    """
    middle = face.box[:2] + face.box[2:] / 2

    def distance(other: Detection) -> float:
        return float(np.abs((other.box[:2] + other.box[2:] / 2 - middle) / face.box[2:]).max())

    nearest = min(detections, key=distance, default=None)
    return nearest if nearest is not None and distance(nearest) <= 0.5 else None
