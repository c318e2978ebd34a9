"""YuNet, OpenCV's small detector: five landmarks, works offline. `--detector-model`: the ONNX
file; else the asset 'yunet'.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from mfr_kit import assets
from mfr_kit.data.alignment.detection import Detection, usable
from mfr_kit.errors import KitError
from mfr_kit.providers import Provider

NMS_IOU = 0.3
MOST_FACES = 50
# OpenCV pads to multiples of 32, and where one side is 32 its YuNet computes with memory that
# nobody has written
_LEAST_SIDE = 64


@dataclass(frozen=True)
class Attempt:
    """One way of showing a photograph to the detector."""

    longest_side: (
        int  # the photograph is shrunk to this many pixels; never enlarged beyond `enlarge`
    )
    enlarge: float  # greatest magnification of a small photograph
    # black border on each side, as a share of the shorter side: a tight crop hides the outline
    # YuNet looks for
    border: float
    threshold: float  # lowest confidence that counts


# Cheapest and strictest first; the next is tried only when nothing was found.
ATTEMPTS = (
    Attempt(640, 1.0, 0.0, 0.6),
    Attempt(640, 2.0, 0.3, 0.6),
    Attempt(1600, 1.0, 0.0, 0.6),
    Attempt(640, 2.0, 0.3, 0.3),
)


class YuNet:
    """OpenCV's YuNet, tried in several ways until it finds something.

    Args:
        model: the ONNX file.
        attempts: ways to look, in this order.
    Raises:
        KitError: OpenCV cannot load the model.
    """

    def __init__(self, model: Path, attempts: tuple[Attempt, ...] = ATTEMPTS) -> None:
        try:
            self._net = cv2.FaceDetectorYN.create(
                str(model), "", (320, 320), 0.5, NMS_IOU, MOST_FACES
            )
        except cv2.error as error:
            raise KitError(
                f"{model}: OpenCV cannot load it as a YuNet detector ({error.err})"
            ) from None
        self._attempts = attempts

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Find the faces of an (H, W, 3) uint8 RGB photograph with the first attempt that finds
        any.
        """
        for number, attempt in enumerate(self._attempts):
            found = [] if repeats(number, attempt, image) else self.show(image, attempt)
            if found:
                return found
        return []

    def detect_many(self, images: list[np.ndarray]) -> list[list[Detection]]:
        """Find the faces of several photographs, one after another."""
        return [self.detect(image) for image in images]

    def detect_in_crop(self, image: np.ndarray) -> list[Detection]:
        """Find the face of a crop."""
        return self.show(image, Attempt(max(image.shape[:2]), 1.0, 0.0, 0.3))

    def refine(self, image: np.ndarray, face: Detection) -> Detection:
        """Keep the face as it was found."""
        return face

    def show(self, image: np.ndarray, attempt: Attempt) -> list[Detection]:
        """Find faces in one way; boxes and landmarks come back in the photograph's own pixels."""
        shown = prepare(image, attempt)
        self._net.setInputSize((shown.image.shape[1], shown.image.shape[0]))
        self._net.setScoreThreshold(attempt.threshold)
        _, rows = self._net.detect(cv2.cvtColor(shown.image, cv2.COLOR_RGB2BGR))
        return [] if rows is None else restore(rows, shown)


class Shown(NamedTuple):
    """A photograph as an attempt shows it."""

    image: np.ndarray  # (H, W, 3) uint8 RGB, either side at least 64
    shift: int  # of the photograph's corner, right and down
    back: np.ndarray  # (2,) pixels of the photograph in one of these, across and down


def repeats(number: int, attempt: Attempt, image: np.ndarray) -> bool:
    """Whether an attempt, that of `number`, shows a small photograph as an earlier one does."""
    return bool(number) and max(image.shape[:2]) <= 640 and attempt.longest_side > 640


def prepare(image: np.ndarray, attempt: Attempt) -> Shown:
    """Shrink or enlarge a photograph, and put a border around it, as an attempt says."""
    height, width = image.shape[:2]
    border = round(attempt.border * min(height, width))
    scale = min(attempt.longest_side / (max(height, width) + 2 * border), attempt.enlarge)
    shown = image
    if scale != 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        shown = cv2.resize(
            image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        )
    shift = round(border * scale)
    if shift:
        shown = cv2.copyMakeBorder(shown, shift, shift, shift, shift, cv2.BORDER_CONSTANT)
    back = np.array(
        [width / (shown.shape[1] - 2 * shift), height / (shown.shape[0] - 2 * shift)],
        np.float32,
    )
    missing = [max(0, _LEAST_SIDE - side) for side in shown.shape[:2]]
    if any(missing):
        shown = cv2.copyMakeBorder(shown, 0, missing[0], 0, missing[1], cv2.BORDER_CONSTANT)
    return Shown(shown, shift, back)


def restore(rows: np.ndarray, shown: Shown) -> list[Detection]:
    """Bring YuNet's rows of 15 into the photograph's pixels."""
    return usable([_detection(row, shown.shift, shown.back) for row in rows])


def _detection(row: np.ndarray, shift: int, back: np.ndarray) -> Detection:
    """One row of YuNet: box, five points, score."""
    box = np.concatenate([(row[:2] - shift) * back, row[2:4] * back]).astype(np.float32)
    return Detection(
        box, ((row[4:14].reshape(5, 2) - shift) * back).astype(np.float32), float(row[14])
    )


ON_THE_CPU = "OpenCV runs YuNet"
ONE_BY_ONE = "OpenCV shows YuNet one photograph a call (yunet-onnx shows several)"


def load(model: Path | None = None, provider: Provider | None = None) -> YuNet:
    """Load the detector, on the CPU whatever the provider.

    Raises:
        KitError: the model is missing or broken.
    """
    return YuNet(assets.path("yunet", model))
