"""Photographs that the page was given: in memory only, the latest few, each with its face found
and aligned as `augment` does it.
"""

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass

import cv2
import numpy as np

from mfr_kit.data.alignment.align import transform_points
from mfr_kit.data.alignment.align_photo import AlignedFace, align, align_photo
from mfr_kit.data.alignment.detection import Detection, Detector
from mfr_kit.data.images import decode_picture
from mfr_kit.errors import KitError
from mfr_kit.masks import drawn_heads

KEPT = 12  # photographs: of a few open pages
LONGEST = 1024  # pixels of the longer side of what is shown and drawn on
HEAD, DRAWN = 480, 240  # side of a drawn head, and at which it is drawn: a quarter of the work


@dataclass(frozen=True)
class Photograph:
    """A photograph as it is shown, and its face.

    Attributes:
        image: (H, W, 3) uint8 RGB, the longer side at most `LONGEST`.
        landmarks: (K, 2) float32 in its pixels.
        face: cut from the photograph in its own size; `matrix` is from the pixels of `image`.
        note: what a user should know of it; "".
    """

    image: np.ndarray
    landmarks: np.ndarray
    face: AlignedFace
    note: str = ""


def read_photograph(data: bytes, detector: Detector, upright: bool = False) -> Photograph:
    """Decode an uploaded photograph and find its face.

    Raises:
        KitError: no image that can be decoded, or no face in it.
    """
    picture = decode_picture(data, "the photograph")
    face = align_photo(picture.image, detector, upright)
    height, width = picture.image.shape[:2]
    share = min(1.0, LONGEST / max(height, width))
    shown = picture.image
    if share < 1:
        size = max(1, round(width * share)), max(1, round(height * share))
        shown = cv2.resize(picture.image, size, interpolation=cv2.INTER_AREA)
    # of a point: from the shown pixels to the photograph's, and on into the aligned frame
    grown = cv2.invertAffineTransform(np.array([[share, 0, 0], [0, share, 0]], np.float64))
    matrix = face.matrix.copy()
    matrix[:, :2] = face.matrix[:, :2] @ grown[:, :2]
    back = cv2.invertAffineTransform(matrix)
    points = transform_points(face.landmarks, back)
    return Photograph(shown, points, face._replace(matrix=matrix), picture.note)


def draw_head(yaw_deg: float, pitch_deg: float, roll_deg: float, person: int) -> Photograph:
    """Draw a head of the kit's own, for those who have no photograph at hand."""
    image, landmarks = drawn_heads.draw(DRAWN, yaw_deg, pitch_deg, roll_deg, person)
    image = cv2.resize(image, (HEAD, HEAD), interpolation=cv2.INTER_CUBIC)
    landmarks = (landmarks + 0.5) * (HEAD / DRAWN) - 0.5  # a pixel's centre lies at its index
    box = np.array([0, 0, HEAD, HEAD], np.float32)
    return Photograph(image, landmarks, align(image, Detection(box, landmarks, 1.0)))


def of_face(image: np.ndarray, landmarks: np.ndarray) -> Photograph:
    """Take a face that is aligned already.

    Args:
        image: (112, 112, 3) uint8 RGB.
        landmarks: (K, 2) in its pixels.
    """
    return Photograph(image, landmarks, AlignedFace(image, landmarks, np.eye(2, 3), 1.0))


class Photographs:
    """The latest photographs by the names that the page calls them by; safe between threads."""

    def __init__(self, kept: int = KEPT) -> None:
        self._held: OrderedDict[str, Photograph] = OrderedDict()
        self._lock, self._kept = threading.Lock(), kept

    def __len__(self) -> int:
        return len(self._held)

    def add(self, photograph: Photograph, replaces: str = "") -> str:
        """Hold a photograph; returns its name. The oldest goes where there are too many."""
        name = secrets.token_hex(8)
        with self._lock:
            self._held.pop(replaces, None)
            self._held[name] = photograph
            while len(self._held) > self._kept:
                self._held.popitem(last=False)
        return name

    def get(self, name: str) -> Photograph:
        """Give a photograph that is held.

        Raises:
            KitError: it is not, or not any more.
        """
        with self._lock:
            if name not in self._held:
                raise KitError(
                    f"the photograph is not held any more (the latest {self._kept} are): choose "
                    "it again"
                )
            self._held.move_to_end(name)
            return self._held[name]
