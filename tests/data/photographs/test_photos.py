import pytest

from mfr_kit.data.photographs.photos import list_photos, strays
from mfr_kit.errors import KitError


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_people_conditions_and_order(tmp_path):
    put(
        tmp_path,
        "b/masked/1.jpg",
        "b/bare/2.jpg",
        "b/3.jpg",
        "a/x/y/4.jpg",
        "readme.txt",
        ".git/config",
    )
    got = [(photo.source, photo.identity, photo.condition) for photo in list_photos(tmp_path)]
    assert got == [
        ("a/x/y/4.jpg", "a", "nonmask"),
        ("b/3.jpg", "b", "nonmask"),
        ("b/bare/2.jpg", "b", "nonmask"),
        ("b/masked/1.jpg", "b", "mask"),
    ]
    assert strays(tmp_path) == ["readme.txt"]


def test_photographs_that_differ_in_suffix_or_case_do_not_become_one_face(tmp_path):
    put(tmp_path, "a/1.jpg", "a/1.png", "a/B.jpg", "a/b.png", "a/2.jpg")
    stems = [photo.stem for photo in list_photos(tmp_path)]
    assert stems == ["a/1_jpg", "a/1_png", "a/2", "a/B_jpg", "a/b_png"]
    assert len({stem.lower() for stem in stems}) == 5


def test_only_some_people(tmp_path):
    put(tmp_path, "a/1.jpg", "b/1.jpg")
    assert [photo.identity for photo in list_photos(tmp_path, {"b", "not there"})] == ["b"]
    with pytest.raises(KitError, match="not there"):
        list(list_photos(tmp_path, {"not there"}))


def test_a_wrong_folder_is_explained(tmp_path):
    with pytest.raises(KitError, match="not a folder"):
        list(list_photos(tmp_path / "gone"))
    put(tmp_path, "1.jpg")
    with pytest.raises(KitError, match="folder of their own"):
        list(list_photos(tmp_path))
