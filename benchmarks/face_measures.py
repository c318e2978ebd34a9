"""What can be measured of a face in a photograph without knowing whose it is: how the detector's
landmarks scatter, how fine, bright and contrasty it is, how far it is turned, how much of it lies
in the photograph, and how much of it something covers.

Everything is measured the same way on faces with and without masks, drawn or worn.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np

from mfr_kit.data.alignment.align import (
    SIZE,
    TEMPLATE,
    estimate_similarity,
    transform_points,
    warp,
)
from mfr_kit.data.alignment.detection import Detection
from mfr_kit.data.alignment.robust import Robust
from mfr_kit.masks import pose
from mfr_kit.training.views import drift

SIDES = tuple(range(16, SIZE + 1, 4))  # pixels that a face is shrunk to
KEPT = 0.98  # of the contrast around the eyes, at the side that a face's detail is said to need
UPPER = (slice(24, 66), slice(20, 92))  # of the aligned frame: eyes and brows, above any mask
LOWER = (slice(72, 106), slice(30, 82))  # mouth, cheeks and chin
SKIN = (slice(52, 60), slice(42, 70))  # beside and below the eyes, and the bridge of the nose
NOSE = (slice(56, SIZE), slice(52, 60))  # down from the bridge, where a mask's edge crosses
FAR_FROM_SKIN = 3.5  # spreads of the skin's own colour
EYES_PX = float(np.linalg.norm(TEMPLATE[1] - TEMPLATE[0]))  # apart in the aligned frame


@dataclass(frozen=True)
class Scatter:
    """How the looks at one face differ.

    Attributes:
        drifts: (looks, 4) from the alignment of the median landmarks to each look's (drift.py).
        moved_px: root mean square over looks and landmarks, in pixels of the aligned frame.
        lost: share of the further looks that do not find the face.
        landmarks: (5, 2) the median.
    """

    drifts: np.ndarray
    moved_px: float
    lost: float
    landmarks: np.ndarray


def scatter(detector: Robust, image: np.ndarray, face: Detection, tried: int = 4) -> Scatter:
    """Look at a face at two scales, each also mirrored, and compare the landmarks.

    Args:
        detector: what looks.
        image: (H, W, 3) uint8 RGB.
        face: as it was found in it.
        tried: how often the detector looks again.
    """
    looks = [look.landmarks for look in detector.looks(image, face)]
    middle = np.median(looks, axis=0)
    base = estimate_similarity(middle)
    matrices = [estimate_similarity(points) for points in looks]
    places = np.array([transform_points(middle, matrix) for matrix in matrices])
    moved = np.sqrt(((places - transform_points(middle, base)) ** 2).sum(-1).mean())
    drifts = drift.from_clean_to_twin(
        np.repeat(as_row(base)[None], len(looks), 0), np.array([as_row(m) for m in matrices])
    )
    return Scatter(drifts, float(moved), 1 - (len(looks) - 1) / tried, middle)


def as_row(matrix: np.ndarray) -> np.ndarray:
    """(4,) a, b, tx, ty of a similarity, as face sets store it."""
    return np.array([*matrix[:, 0], *matrix[:, 2]])


def head_turn(landmarks: np.ndarray) -> tuple[float, float]:
    """Yaw to either side, >= 0, and pitch in degrees."""
    found = pose.estimate(landmarks)
    return abs(found.yaw), found.pitch


def detail_side(face: np.ndarray) -> int:
    """Find the least side in pixels to which a face can be shrunk without losing more than 2 % of
    the contrast (variance of luma) around its eyes: small for blurred and enlarged faces.

    Args:
        face: (112, 112, 3) uint8 RGB, aligned.
    """
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)
    least = (1 - KEPT) * (grey[UPPER].var() + 1)
    for side in SIDES:
        small = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
        again = cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
        if ((again - grey)[UPPER] ** 2).mean() <= least:
            return side
    return SIZE


def beyond_photo(image: np.ndarray, matrix: np.ndarray) -> float:
    """Share of the aligned frame that lies outside the photograph, which `warp` leaves black."""
    white = np.full((*image.shape[:2], 3), 255, np.uint8)
    return float((warp(white, matrix)[..., 0] < 128).mean())


def light(face: np.ndarray) -> dict[str, float]:
    """Brightness and contrast (mean and spread of luma, 0 to 255) of the eyes' region, the same of
    the mouth's, and how much brighter that is.
    """
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)
    upper, lower = grey[UPPER], grey[LOWER]
    return {
        "brightness": float(upper.mean()),
        "contrast": float(upper.std()),
        "lower_contrast": float(lower.std()),
        "lower_brighter": float(lower.mean() - upper.mean()),
    }


def unlike_skin(face: np.ndarray) -> np.ndarray:
    """(112, 112) bool: pixels whose colour is not that of the skin around the eyes.

    Colour is CIE Lab, in units of the skin's own spread (lightness counts a third: shadows are
    skin); smoothed over two pixels.
    """
    lab = cv2.cvtColor(cv2.GaussianBlur(face, (0, 0), 1.0), cv2.COLOR_RGB2LAB).astype(np.float32)
    skin = lab[SKIN].reshape(-1, 3)
    middle = np.median(skin, axis=0)
    spread = 1.48 * np.median(np.abs(skin - middle), axis=0) + (9.0, 3.0, 3.0)
    distance = np.sqrt((((lab - middle) / spread) ** 2 * (1 / 3, 1.0, 1.0)).sum(-1))
    return distance > FAR_FROM_SKIN / np.sqrt(3)


def covered_share(unlike: np.ndarray) -> float:
    """Share of the mouth's region that is covered; `unlike` from `unlike_skin`, or a true mask."""
    return float(unlike[LOWER].mean())


def upper_edge(unlike: np.ndarray) -> float:
    """Row of the aligned frame at which a cover begins on the nose: where rows above are free and
    rows below covered, as well as one row can divide them; 112 where nothing is covered.
    """
    covered = unlike[NOSE].mean(axis=1)
    gain = np.concatenate([[0.0], np.cumsum(covered - 0.5)])
    total = gain[-1]
    best = int(np.argmax(total - gain))  # least gained above, most below
    return float(NOSE[0].start + best)
