"""A photograph becomes the same face from Python as `augment` makes of it."""

import cv2
import numpy as np
import pytest

from mfr_kit.augment.photograph import FaceMaker
from mfr_kit.data.alignment.align import TEMPLATE, transform_points
from mfr_kit.data.alignment.align_photo import align_again, align_photo
from mfr_kit.data.alignment.detection import Detection
from mfr_kit.data.images import encode
from mfr_kit.data.photographs.photos import list_photos
from mfr_kit.errors import KitError
from tests.conftest import head


class Fixed:
    """Finds a face at one place of every picture that is not black."""

    def detect(self, image: np.ndarray) -> list[Detection]:
        box = np.array([10, 20, 224, 224], np.float32)
        points = (2 * TEMPLATE + (10, 20)).astype(np.float32)
        return [Detection(box, points, 0.8)] if image.any() else []

    def refine(self, image: np.ndarray, face: Detection) -> Detection:
        return face


@pytest.fixture
def photo() -> np.ndarray:
    image = np.zeros((260, 250, 3), np.uint8)
    image[20:244, 10:234] = head(3, size=224)
    return image


def test_it_equals_what_augment_makes(tmp_path, photo):
    path = tmp_path / "p00" / "a.png"
    path.parent.mkdir()
    path.write_bytes(encode(photo, ".png"))
    maker = FaceMaker(tmp_path, Fixed(), None, None, 0.0, 0, True, ".jpg")
    (row,), skipped = maker.make(next(list_photos(tmp_path)))
    for given in (photo, path, str(path)):
        face = align_photo(given, Fixed())
        np.testing.assert_array_equal(face.image, row["image"])
        np.testing.assert_array_equal(face.landmarks.ravel(), row["landmarks"])
        assert face.score == 0.8
    assert not skipped


def test_the_matrix_leads_from_the_photograph_to_the_template(photo):
    face = align_photo(photo, Fixed())
    np.testing.assert_allclose(face.landmarks, TEMPLATE, atol=1e-3)
    moved = transform_points(Fixed().detect(photo)[0].landmarks, face.matrix)
    np.testing.assert_allclose(moved, TEMPLATE, atol=1e-3)
    assert face.image.shape == (112, 112, 3)


def test_what_gives_no_face_is_said(tmp_path, photo):
    with pytest.raises(KitError, match="no face found in the photograph"):
        align_photo(np.zeros_like(photo), Fixed())
    with pytest.raises(KitError, match=r"shape \(260, 250\)"):
        align_photo(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), Fixed())
    with pytest.raises(KitError, match=r"nowhere\.jpg"):
        align_photo(str(tmp_path / "nowhere.jpg"), Fixed())
    with pytest.raises(KitError, match=r"is a path or an .* found list"):
        align_photo(photo.tolist(), Fixed())
    face = Fixed().detect(photo)[0]
    assert align_again(np.zeros_like(photo), face, Fixed()) is None


class Two:
    """Finds a small face in the middle and a large one in a corner."""

    def detect(self, image: np.ndarray) -> list[Detection]:
        middle, half = np.array(image.shape[1::-1]) / 2, 20
        boxes = np.array([[*(middle - half), 40, 40], [0, 0, 100, 100]], np.float32)
        return [
            Detection(box, (TEMPLATE / 112 * box[2:] + box[:2]).astype(np.float32), 0.9)
            for box in boxes
        ]

    def refine(self, image: np.ndarray, face: Detection) -> Detection:
        return face


@pytest.mark.parametrize(("rule", "side"), [("prominent", 40), ("central", 40), ("largest", 100)])
def test_one_of_several_faces_is_taken_by_a_rule(rule, side):
    face = align_photo(np.zeros((480, 480, 3), np.uint8), Two(), rule=rule)
    assert np.hypot(*face.matrix[0, :2]) == pytest.approx(112 / side)


def test_all_faces_are_no_face_to_align(photo):
    with pytest.raises(KitError, match="faces 'all': one face is taken, prominent, largest, cent"):
        align_photo(photo, Fixed(), rule="all")
