"""Masked faces stay masked, and twins twins, through every format and back."""

import numpy as np
import pytest

from mfr_kit import registry
from mfr_kit.cli import main
from mfr_kit.data.convert import FORMATS, convert, open_any
from mfr_kit.data.face_set.content import digest_of
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.face_set.faceset_writer import write_rows
from mfr_kit.errors import KitError
from tests.data.test_formats import NAMES, jpeg

PLAIN = ("recordio", "recordio-plain", "image-list", "folder", "lst")


def face(key, person, clean_key="", condition="nonmask", data=b""):
    row = {"key": key, "source": key[6:], "identity": person, "condition": condition}
    row |= {"landmarks": [30.0, 50.0] * 5, "similarity": [0.5, 0.1, 3.0, 4.0], "score": 0.75}
    return row | {
        "clean_key": clean_key,
        "mask": "{}" if clean_key else "",
        "digest": digest_of(data),
    }


@pytest.fixture
def faces(tmp_path):
    """Ann: two clean faces with a twin each and one really masked; Bob: one clean face and one
    twin.
    """
    plan = [
        ("faces/Ann/1.jpg", "Ann", "", "nonmask"),
        ("faces/Ann/1.masked.jpg", "Ann", "faces/Ann/1.jpg", "mask"),
        ("faces/Ann/masked/7.jpg", "Ann", "", "mask"),
        ("faces/Ann/trip/2.jpg", "Ann", "", "nonmask"),
        ("faces/Ann/trip/2.masked.jpg", "Ann", "faces/Ann/trip/2.jpg", "mask"),
        ("faces/Bob/1.jpg", "Bob", "", "nonmask"),
        ("faces/Bob/1.masked.jpg", "Bob", "faces/Bob/1.jpg", "mask"),
    ]
    folder, rows = tmp_path / "set", []
    for number, (key, person, clean, condition) in enumerate(plan):
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(jpeg(number))
        rows.append(face(key, person, clean, condition, jpeg(number)))
    skipped = dict.fromkeys(
        ("source", "identity", "condition", "clean_key", "reason", "detail"), ""
    )
    skipped |= {
        "source": "Bob/9.jpg",
        "identity": "Bob",
        "condition": "nonmask",
        "reason": "no_face",
    }
    write_rows(folder, [(rows, [skipped])], {"version": "1"})
    return folder


def there(tmp_path, name):
    return tmp_path / "to" / ("set.lst" if name == "lst" else NAMES.get(name, "set"))


def shown(source):
    """(person, image, masked, image of the clean face) of every photograph, in any order."""
    images = [source.encoded(row) for row in range(len(source))]
    return sorted(
        (
            source.person(row),
            images[row],
            source.is_masked(row),
            images[source.clean_row(row)] if source.clean_row(row) >= 0 else b"",
        )
        for row in range(len(source))
    )


@pytest.mark.parametrize("name", PLAIN)
def test_plain_formats_drop_twins_and_say_how_many(tmp_path, faces, name, capsys):
    dst = there(tmp_path, name)
    assert main(["convert", str(faces), str(dst), *([] if name == "lst" else ["--to", name])]) == 0
    text = capsys.readouterr().out
    assert "3 masked twins dropped" in text and "read back equal: 4 photographs, 2 people" in text
    found = open_any(dst, None if name == "lst" else name)[1]
    assert sorted(found.is_masked(row) for row in range(4)) == [False, False, False, True]
    assert not found.twins.any()


@pytest.mark.parametrize("name", [*PLAIN, "face-set", "face-set-records"])
def test_kept_twins_read_back_as_twins(tmp_path, faces, name):
    first, back = there(tmp_path, name), tmp_path / "back"
    form = None if name == "lst" else name
    proof = convert(faces, first, None, form, "keep")
    assert (proof.photographs, proof.masked, proof.twins_dropped) == (7, 4, 0)
    expected = shown(open_any(faces)[1])
    assert [row[2] for row in expected].count(True) == 4
    assert shown(open_any(first, form)[1]) == expected
    convert(first, back, form, "face-set", "keep")
    found = FaceSet.open(back)
    assert len(found.clean()) == 3 and sum(bool(key) for key in found.clean_keys) == 3
    images = {key: found.encoded(row) for row, key in enumerate(found.keys)}
    twin = list(found.keys).index(next(k for k in found.keys if images[k] == jpeg(4)))
    assert images[found.clean_keys[twin]] == jpeg(3)


def test_a_face_set_keeps_all_that_is_known_of_a_face(tmp_path, faces):
    convert(faces, tmp_path / "records", None, "face-set-records")
    convert(tmp_path / "records", tmp_path / "files", None, "face-set")
    first, last = FaceSet.open(faces), FaceSet.open(tmp_path / "files")
    assert first.table.to_pylist() == last.table.to_pylist()
    assert first.fingerprint == last.fingerprint and last.skipped == first.skipped


def test_a_shard_of_a_face_set_knows_its_masked_faces(tmp_path, faces):
    convert(faces, tmp_path / "records", None, "face-set-records")
    shard = open_any(tmp_path / "records" / "faces-00000.rec")[1]
    assert shown(shard) == shown(open_any(faces)[1])
    (tmp_path / "records" / "faces.parquet").write_bytes(b"PAR1")
    with pytest.raises(KitError, match=r"only it says which faces of faces-00000\.rec are masked"):
        open_any(tmp_path / "records" / "faces-00000.rec")


def test_the_inner_folder_of_a_face_set_is_no_set_of_clean_faces(faces):
    found = open_any(faces / "faces")[1]
    assert found.masked.sum() == 4 and found.twins.sum() == 3


def test_a_list_of_others_says_masked_by_its_folders(tmp_path):
    for name in ("a/masked/1.jpg", "a/1.jpg", "masked/2.jpg", "a/masked/unmasked/3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(jpeg(len(name)))
    (tmp_path / "masked.txt").write_text(
        "a/masked/1.jpg\ta\na/1.jpg\ta\nmasked/2.jpg\tmasked\na/masked/unmasked/3.jpg\ta\n"
    )
    found = open_any(tmp_path / "masked.txt")[1]
    assert list(found.masked) == [True, False, False, False]


def test_clean_faces_in_a_folder_called_masked_stay_clean(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "1.jpg").write_bytes(jpeg(1))
    (tmp_path / "list.txt").write_text("x/1.jpg\tAnn\n")
    source = open_any(tmp_path / "list.txt")[1]
    odd = type(source)(
        source.path, ["Ann"], source.labels, ["Ann/masked/1.masked.jpg"], source.encoded
    )
    registry.get(FORMATS, "folder").write_set(tmp_path / "out", odd)
    found = open_any(tmp_path / "out")[1]
    assert len(found) == 1 and not found.is_masked(0)


@pytest.mark.parametrize("text", ["1\t2\n", "x\t-\n", "1\n"])
def test_a_list_of_masked_keys_that_does_not_fit(tmp_path, faces, text):
    path = tmp_path / "r" / "a.rec"
    convert(faces, path, twins="keep")
    (tmp_path / "r" / "a.rec.masked.txt").write_text(text + "2\t-\n")
    with pytest.raises(KitError, match=r"a\.rec\.masked\.txt"):
        open_any(path)


def test_select_renumbers_clean_faces(faces):
    source = open_any(faces)[1]
    assert list(source.clean) == [-1, 0, -1, -1, 3, -1, 5]
    kept = source.select(np.array([3, 4, 6]))
    assert list(kept.clean) == [-1, 0, -2] and list(kept.masked) == [False, True, True]
    assert kept.facts(0)["key"] == "faces/Ann/trip/2.jpg"
