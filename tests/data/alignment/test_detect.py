from dataclasses import replace

import cv2
import numpy as np
import pytest

from mfr_kit import assets
from mfr_kit.data.alignment.align import TEMPLATE, estimate_similarity, transform_points
from mfr_kit.data.alignment.detect import load_detector
from mfr_kit.data.alignment.detection import Detection, pick_face, same_face, usable
from mfr_kit.data.detectors.yunet import ATTEMPTS, Attempt
from mfr_kit.data.images import read_rgb
from mfr_kit.errors import KitError


@pytest.fixture(scope="module")
def detector():
    return load_detector()


@pytest.fixture(scope="module")
def photo():
    return read_rgb(assets.path("orl-faces") / "s1" / "1.pgm")


def face(left: float, top: float, side: float) -> Detection:
    return Detection(np.array([left, top, side, side], np.float32), TEMPLATE, 0.9)


def test_landmarks_come_in_the_templates_order(detector, photo):
    (found,) = detector.detect(photo)
    aligned = transform_points(found.landmarks, estimate_similarity(found.landmarks))
    assert np.abs(aligned - TEMPLATE).max() < 8  # a swapped pair would be off by 30 pixels


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_every_attempt_reports_in_the_photographs_own_pixels(detector, photo, attempt):
    large = np.full((1000, 1400, 3), 90, np.uint8)
    large[300:748, 600:968] = cv2.resize(photo, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    reference = detector.detect(photo)[0].landmarks * 4 + (600, 300)
    found = detector.show(large, attempt)
    assert found
    assert np.abs(found[0].landmarks - reference).max() < 20


def test_a_tight_crop_and_a_tiny_picture_are_still_found(detector, photo):
    box = detector.detect(photo)[0].box.astype(int)
    tight = photo[box[1] : box[1] + box[3], box[0] : box[0] + box[2]]
    assert len(detector.detect(tight)) == 1
    assert len(detector.detect(cv2.resize(photo, (46, 56), interpolation=cv2.INTER_AREA))) == 1


def test_no_face_in_a_wall_and_none_in_a_single_pixel(detector):
    assert detector.detect(np.full((200, 300, 3), 127, np.uint8)) == []
    assert detector.detect(np.zeros((1, 1, 3), np.uint8)) == []


def test_a_narrow_picture_gives_the_same_answer_every_time(detector):
    # OpenCV's YuNet reads unwritten memory where a side is padded to 32 pixels: random faces, boxes
    # of 1e30 pixels, nan
    rng = np.random.default_rng(0)
    for shape in ((1, 3000), (20, 640), (640, 24), (32, 32)):
        narrow, answers = rng.integers(0, 256, (*shape, 3), dtype=np.uint8), set()
        for _ in range(8):
            # other numbers in its memory
            detector.show(
                rng.integers(0, 256, (*rng.integers(64, 300, 2), 3), dtype=np.uint8), ATTEMPTS[0]
            )
            found = detector.show(narrow, Attempt(640, 1.0, 0.0, 0.01))
            assert all(np.isfinite(face.landmarks).all() for face in found)
            answers.add(tuple((face.score, face.box.tobytes()) for face in found))
        assert len(answers) == 1, shape


def test_detections_that_nothing_can_be_aligned_by_are_dropped():
    good = face(10, 10, 40)
    flat = replace(good, landmarks=np.ones((5, 2), np.float32))
    endless = replace(good, box=np.array([0, -np.inf, 0, np.inf], np.float32))
    assert usable([flat, endless, good, replace(good, landmarks=good.landmarks * np.nan)]) == [good]


def test_a_group_has_several_faces(detector):
    from insightface.data import get_image

    assert len(detector.detect(get_image("t1")[..., ::-1].copy())) == 6


def test_the_largest_and_most_central_face_is_picked():
    small_middle, large_edge, large_middle = face(95, 95, 10), face(0, 0, 50), face(80, 75, 50)
    assert pick_face([small_middle, large_edge, large_middle], (200, 200)) is large_middle
    assert pick_face([small_middle, face(150, 150, 20)], (200, 200)) is small_middle
    assert pick_face([], (200, 200)) is None


def test_the_same_face_is_found_again_and_a_bystander_is_not():
    before = face(80, 80, 40)
    moved, bystander = face(85, 90, 36), face(10, 80, 60)
    assert same_face([bystander, moved], before) is moved
    assert same_face([bystander], before) is None


def test_a_broken_model_is_a_clear_error(tmp_path):
    (tmp_path / "yunet.onnx").write_bytes(b"no model")
    with pytest.raises(KitError, match=r"yunet\.onnx"):
        load_detector(model=tmp_path / "yunet.onnx")
