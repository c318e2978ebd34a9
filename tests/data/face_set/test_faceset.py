import pickle

import numpy as np
import pytest

from mfr_kit.data.face_set import faceset
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.face_set.faceset_writer import write_rows
from mfr_kit.errors import KitError
from tests.conftest import write_faceset


def test_rows_are_read_back(drawn_set):
    assert len(drawn_set) == 48
    assert drawn_set.people == [f"p{n:02d}" for n in range(6)]
    assert drawn_set.image(0).shape == (112, 112, 3)
    assert drawn_set.points(0).shape == (5, 2)
    assert drawn_set.clean_keys[1] == drawn_set.keys[0]
    assert drawn_set.about["counts"] == {"faces": 24, "twins": 24, "skipped": 0}


def test_clean_holds_no_masked_face(drawn_set):
    clean = drawn_set.clean()
    assert len(clean) == 24
    assert set(clean.conditions) == {"nonmask"}
    assert set(clean.masks) == {""}


def test_selections_keep_rows_and_images_together(drawn_set):
    rows = [5, 0, 17]
    some = drawn_set.select(rows)
    assert list(some.keys) == list(drawn_set.keys[rows])
    np.testing.assert_array_equal(some.image(2), drawn_set.image(17))
    two = drawn_set.of_people(["p01", "p03"])
    assert two.people == ["p01", "p03"]
    assert len(pickle.loads(pickle.dumps(two))) == 16


def test_the_fingerprint_follows_the_pixels_not_the_place(tmp_path):
    first, second = write_faceset(tmp_path / "a", 2, 2), write_faceset(tmp_path / "b", 2, 2)
    assert first.fingerprint == second.fingerprint
    assert first.select([0, 1]).fingerprint != first.fingerprint
    assert write_faceset(tmp_path / "c", 2, 3).fingerprint != first.fingerprint


def test_people_without_any_face_are_still_people(tmp_path):
    made = write_faceset(tmp_path / "s", 2, 2)
    lost = dict.fromkeys(faceset.SKIPPED_COLUMNS, "") | {
        "source": "z/1.jpg",
        "identity": "z",
        "condition": "mask",
        "reason": "no_face",
    }
    write_rows(made.folder, [(made.table.to_pylist(), [lost])], {})
    again = FaceSet.open(made.folder)
    assert again.people == ["p00", "p01", "z"]
    assert again.of_people(["z"]).skipped == [lost]
    assert again.of_people(["p00"]).skipped == []


def test_what_is_not_a_face_set_is_said(tmp_path):
    with pytest.raises(KitError, match=r"kit\.py augment"):
        FaceSet.open(tmp_path)
    (tmp_path / "faces.parquet").write_bytes(b"nonsense")
    with pytest.raises(KitError, match="parquet"):
        FaceSet.open(tmp_path)


def test_a_missing_image_is_named(drawn_set):
    (drawn_set.folder / drawn_set.keys[3]).unlink()
    with pytest.raises(KitError, match=drawn_set.keys[3]):
        drawn_set.image(3)


def test_it_is_indexed_like_a_dataset(tmp_path):
    write_faceset(tmp_path, people=3, takes=2)
    faces = FaceSet(str(tmp_path))
    image, label = faces[-1]
    assert (len(faces), label, faces.labels.tolist()) == (12, 2, [0] * 4 + [1] * 4 + [2] * 4)
    np.testing.assert_array_equal(image, faces.image(11))
    assert len(list(faces)) == 12
    with pytest.raises(IndexError, match="face 12 of a set of 12"):
        _ = faces[12]
    small = FaceSet(tmp_path, transform=np.mean).of_people(["p01", "p02"]).clean()
    assert small.labels.tolist() == [0, 0, 1, 1]
    assert small[3] == (faces.image(10).mean(), 1)
