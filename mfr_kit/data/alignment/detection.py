"""What a detector finds in a photograph, and which of the faces the photograph is about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mfr_kit.data.alignment.face_choice import ALL, CENTRAL, LARGEST, PROMINENT


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

    def detect_many(self, images: list[np.ndarray]) -> list[list[Detection]]:
        """Find the faces of several photographs of any sizes, of each what `detect` finds (its
        numbers may differ in the last digits); at once where the detector can.
        """

    def detect_in_crop(self, image: np.ndarray) -> list[Detection]:
        """Find the face that a crop was cut for: once, as it is, with a low threshold."""

    def refine(self, image: np.ndarray, face: Detection) -> Detection:
        """Improve the landmarks of the face that was picked, or add dense ones, where the
        detector knows how.
        """


def pick_face(
    detections: list[Detection], image_size: tuple[int, int], rule: str = PROMINENT
) -> Detection | None:
    """Pick the face that a photograph is about; of equals the first.

    Args:
        detections: of one photograph.
        image_size: its (height, width).
        rule: prominent: large and central, area less twice the squared distance of the box's
            middle to the picture's, InsightFace's rule; largest: the area alone; central: the
            distance alone.
    """
    return max(detections, key=_weight(image_size, rule), default=None)


def pick_faces(
    detections: list[Detection], image_size: tuple[int, int], rule: str
) -> list[Detection]:
    """Pick the one face that a rule of `pick_face` prefers, or for the rule all every one, the
    most prominent first; an empty list where there is none.
    """
    if rule == ALL:
        return sorted(detections, key=_weight(image_size, PROMINENT), reverse=True)
    picked = pick_face(detections, image_size, rule)
    return [] if picked is None else [picked]


def _weight(image_size: tuple[int, int], rule: str) -> Callable[[Detection], float]:
    centre = np.array([image_size[1], image_size[0]]) / 2
    for_area, for_distance = {PROMINENT: (1, 2), LARGEST: (1, 0), CENTRAL: (0, 1)}[rule]

    def weight(face: Detection) -> float:
        offset = face.box[:2] + face.box[2:] / 2 - centre
        return float(for_area * face.box[2] * face.box[3] - for_distance * offset @ offset)

    return weight


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
