import cv2
import numpy as np
import pytest

from mfr_kit import assets
from mfr_kit.data.alignment.align import estimate_similarity, transform_points
from mfr_kit.data.alignment.detect import load_detector
from mfr_kit.data.alignment.detection import Detection, pick_face, same_face
from mfr_kit.data.alignment.robust import Robust
from mfr_kit.data.images import read_rgb
from mfr_kit.masks import library
from mfr_kit.masks.render import render
from mfr_kit.seeding import rng_for


class Recorder:
    """A detector that answers every look with a fixed face, shifted by the next of some errors."""

    def __init__(self, face: Detection, errors: list[float]) -> None:
        self.face, self.errors, self.shown = face, list(errors), []

    def detect_in_crop(self, image):
        self.shown.append(image.shape[:2])
        error = self.errors.pop(0)
        if np.isnan(error):
            return []
        side = image.shape[0] / 2  # the face and half of its side around it
        corner = side / 2
        points = (self.face.landmarks - self.face.box[:2]) / self.face.box[2] * side + corner
        return [
            Detection(
                np.array([corner, corner, side, side], np.float32),
                (points + error).astype(np.float32),
                0.8,
            )
        ]

    def refine(self, image, face):
        return face


@pytest.fixture
def face() -> Detection:
    points = np.array([[120, 130], [160, 130], [140, 150], [125, 170], [155, 170]], np.float32)
    return Detection(np.array([100, 100, 80, 80], np.float32), points, 1.0)


def test_the_median_ignores_looks_that_go_astray(face):
    looks = Recorder(face, [0.0, 9.0, 0.0, -12.0, 0.0])
    refined = Robust(looks, (40, 60, 80, 100, 120), mirror=False).refine(
        np.zeros((300, 300, 3), np.uint8), face
    )
    np.testing.assert_allclose(refined.landmarks, face.landmarks, atol=0.6)
    assert looks.shown == [(80, 80), (120, 120), (160, 160), (200, 200), (240, 240)]


def test_the_score_falls_with_the_looks_that_find_nothing(face):
    blank = np.zeros((300, 300, 3), np.uint8)
    sure = Robust(Recorder(face, [0.0, 0.0]), (40, 60), mirror=False).refine(blank, face)
    unsure = Robust(Recorder(face, [0.0, np.nan]), (40, 60), mirror=False).refine(blank, face)
    assert sure.score == pytest.approx((1.0 + 0.8 + 0.8) / 3)
    assert unsure.score == pytest.approx((1.0 + 0.8) / 3)


def test_mirror_images_are_turned_back():
    image = read_rgb(assets.path("orl-faces") / "s1" / "1.pgm")
    plain, robust = load_detector(), load_detector(robust=True)
    found = pick_face(plain.detect(image), image.shape[:2])
    refined = robust.refine(image, found)
    assert np.linalg.norm(refined.landmarks - found.landmarks, axis=1).max() < 0.06 * found.box[2]
    flipped = np.ascontiguousarray(image[:, ::-1])
    other = robust.refine(flipped, pick_face(plain.detect(flipped), image.shape[:2]))
    back = other.landmarks[[1, 0, 2, 4, 3]] * (-1, 1) + (image.shape[1] - 1, 0)
    assert np.linalg.norm(refined.landmarks - back, axis=1).max() < 0.05 * found.box[2]


def test_a_huge_photograph_gives_the_same_landmarks_as_a_small_one():
    image = read_rgb(assets.path("orl-faces") / "s2" / "1.pgm")
    robust = load_detector(robust=True)
    small = robust.refine(image, pick_face(robust.detect(image), image.shape[:2]))
    large = cv2.resize(image, None, fx=20, fy=20, interpolation=cv2.INTER_CUBIC)
    big = robust.refine(large, pick_face(robust.detect(large), large.shape[:2]))
    assert np.abs(big.landmarks / 20 - small.landmarks).max() < 0.05 * small.box[2]


@pytest.mark.slow
def test_under_masks_settled_landmarks_are_nearer_to_the_clean_ones():
    plain, robust, masks = load_detector(), load_detector(robust=True), library.load()
    errors = {"plain": [], "robust": []}
    for number in range(80):
        image = read_rgb(
            assets.path("orl-faces") / f"s{number // 2 + 1}" / f"{1 + number % 2 * 4}.pgm"
        )
        clean = pick_face(plain.detect(image), image.shape[:2])
        rng = rng_for(5, number)
        masked, _ = render(image, clean.landmarks, masks.draw(rng), rng)
        again = same_face(plain.detect(masked), clean)
        if again is None:
            continue
        frame = estimate_similarity(clean.landmarks)
        for name, found in (("plain", again), ("robust", robust.refine(masked, again))):
            moved = transform_points(found.landmarks, frame) - transform_points(
                clean.landmarks, frame
            )
            errors[name].append(np.linalg.norm(moved, axis=1).mean())
    assert len(errors["plain"]) >= 70
    assert np.mean(errors["robust"]) < 0.95 * np.mean(errors["plain"])
