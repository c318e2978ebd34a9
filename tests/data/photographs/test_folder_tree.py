"""Nothing that lies in a folder is lost on the walk: it is a file, or a row that says why not."""

import os
import socket
import sys
from pathlib import Path

import pytest

from mfr_kit.data.photographs.folder_tree import is_writable_name, readable
from mfr_kit.data.photographs.photos import find_people, list_entries, list_photos
from mfr_kit.errors import KitError
from tests.data.photographs.test_photos import put

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="makes links and odd files")


def rows(folder: Path, level: int = 0) -> dict[str, str]:
    """What the walk says of each path: "" for a file of a person, else the reason."""
    found = [(entry.source, entry.reason) for entry in list_entries(folder, level=level)]
    assert len(found) == len(dict(found)), "a path is there twice"
    return dict(found)


def test_links_are_followed_where_no_photograph_comes_twice(tmp_path):
    src = tmp_path / "src"
    put(src, "a/1.jpg", "a/sub/2.jpg", "b/1.jpg", ".store/z/3.jpg")
    put(tmp_path, "away/4.jpg", "away/deep/5.jpg", "person/6.jpg")
    links = {
        "a/dead.jpg": "nowhere.jpg",
        "a/self.jpg": "self.jpg",
        "a/file.jpg": "../../away/4.jpg",
        "a/away": "../../away",
        "a/away_again": "../../away",
        "a/up": "..",
        "a/loop": ".",
        "a/again": "sub",
        "b/other": "../a",
        "b/hidden_store": "../.store/z",
        "c": "../person",
        "d": "b",
        "e": "..",
        "f": "gone",
    }
    for link, target in links.items():
        (src / link).symlink_to(target)
    (tmp_path / "away" / "back").symlink_to(src)
    assert rows(src) == {
        "a/1.jpg": "",
        "a/again": "link_repeats",
        "a/away/4.jpg": "",
        "a/away/back": "link_loop",
        "a/away/deep/5.jpg": "",
        "a/away_again": "link_repeats",
        "a/dead.jpg": "dead_link",
        "a/file.jpg": "",
        "a/loop": "link_loop",
        "a/self.jpg": "dead_link",
        "a/sub/2.jpg": "",
        "a/up": "link_loop",
        "b/1.jpg": "",
        "b/hidden_store/3.jpg": "",
        "b/other": "link_repeats",
        "c/6.jpg": "",
        "d": "link_repeats",
        "e": "link_loop",
        "f": "dead_link",
        ".store/z/3.jpg": "hidden",
    }


def test_pipes_sockets_and_devices_are_rows_and_are_never_opened(tmp_path):
    put(tmp_path, "a/1.jpg")
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    (tmp_path / "a" / "zero.jpg").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "beside.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(tmp_path / "a")  # a socket's path has 100 bytes at most
        try:
            listening.bind("socket.jpg")
        finally:
            os.chdir(here)
        assert rows(tmp_path) == {
            "a/1.jpg": "",
            "a/pipe.jpg": "not_a_file",
            "a/socket.jpg": "not_a_file",
            "a/zero.jpg": "not_a_file",
            "beside.jpg": "not_a_file",
        }


def test_hidden_and_system_files_are_left_out_at_every_depth(tmp_path):
    hidden = (
        "a/.ipynb_checkpoints/1-checkpoint.jpg",
        "a/@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg",
        "a/deep/__MACOSX/._1.jpg",
        "a/Thumbs.db",
        "a/._1.jpg",
        "a/.DS_Store",
        "a/Icon\r",
        "#recycle/2.jpg",
        "$RECYCLE.BIN/x/3.jpg",
        ".Trash-1000/files/4.jpg",
        "__MACOSX/a/._1.jpg",
        ".DS_Store",
    )
    put(tmp_path, "a/1.jpg", "a/deep/2.jpg", *hidden)
    expected = {readable(name): "hidden" for name in hidden}
    assert rows(tmp_path) == expected | {"a/1.jpg": "", "a/deep/2.jpg": ""}
    assert list(find_people(tmp_path).homes) == ["a"]


def test_an_unreadable_folder_is_a_row(tmp_path, monkeypatch):
    put(tmp_path, "a/1.jpg", "a/locked/2.jpg", "b/3.jpg")
    scandir = os.scandir

    def locked(path):
        if Path(path).name in ("locked", "b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    assert rows(tmp_path) == {"a/1.jpg": "", "a/locked": "unreadable", "b": "unreadable"}


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems refuse such names")
def test_names_that_no_list_can_hold_are_rows(tmp_path):
    gbk = os.fsdecode(b"\xd5\xc5\xc8\xfd")
    put(tmp_path / "src", "a/1.jpg", f"a/{gbk}.jpg", "a/x\ny.jpg", "Zoë, ü/4.jpg")
    put(tmp_path / "src", f"{gbk}/1.jpg", "t\tb/1.jpg", "Icon\r/1.jpg")
    assert rows(tmp_path / "src") == {
        "a/1.jpg": "",
        "a/\\xd5\\xc5\\xc8\\xfd.jpg": "bad_name",
        "a/x\\ny.jpg": "bad_name",
        "Zoë, ü/4.jpg": "",
        "\\xd5\\xc5\\xc8\\xfd/1.jpg": "bad_name",
        "t\\tb/1.jpg": "bad_name",
        "Icon\\r/1.jpg": "bad_name",
    }
    assert not is_writable_name("a\u2028b")
    put(tmp_path / "only", f"{gbk}/1.jpg")
    with pytest.raises(KitError, match=r"rename it .*convmv"):
        find_people(tmp_path / "only")


def test_names_alike_where_accents_or_case_are_folded(tmp_path):
    put(
        tmp_path,
        "Zoe\u0308/1.jpg",
        "Zo\u00eb/1.jpg",
        "anna/1.jpg",
        "Anna/1.jpg",
        "Anna/E\u0301.jpg",
    )
    photos = list(list_photos(tmp_path))
    assert {photo.identity for photo in photos} == {"Zo\u00eb", "anna", "Anna"}  # composed: one Zoë
    stems = [photo.stem for photo in photos]
    assert len({stem.casefold() for stem in stems}) == len(stems) == 5
    assert "Anna/1" in stems and stems == [photo.stem for photo in list_photos(tmp_path)]


def test_long_names_leave_room_for_what_is_added_and_stay_apart(tmp_path):
    long = "x" * 246
    put(tmp_path, f"a/{long}.jpg", f"a/{long[:-1]}y.jpg", f"a/{'é' * 120}.png", "a/b/short.jpg")
    stems = {photo.source: photo.stem for photo in list_photos(tmp_path)}
    assert len(set(stems.values())) == 4
    for stem in stems.values():
        assert len(f"{stem.rsplit('/')[-1]}.masked.jpg.part".encode()) <= 255
    assert stems["a/b/short.jpg"] == "a/b/short"
    (tmp_path / "a" / f"{long[:-1]}y.jpg").unlink()
    assert stems.items() >= {photo.source: photo.stem for photo in list_photos(tmp_path)}.items()


def test_levels_above_a_person(tmp_path):
    put(
        tmp_path,
        "train/anna/1.jpg",
        "val/anna/1.jpg",
        "val/bob/2.jpg",
        "val/stray.jpg",
        "0/7/1.jpg",
    )
    found = [(photo.identity, photo.source, photo.stem) for photo in list_photos(tmp_path, level=1)]
    assert found == [
        ("7", "0/7/1.jpg", "7/1"),
        ("anna", "train/anna/1.jpg", "anna/train/1"),
        ("anna", "val/anna/1.jpg", "anna/val/1"),
        ("bob", "val/bob/2.jpg", "bob/2"),
    ]
    assert rows(tmp_path, level=1)["val/stray.jpg"] == "no_person"
    put(tmp_path, "1/7/1.jpg")
    with pytest.raises(KitError, match="numbers name other people"):
        find_people(tmp_path, level=1)
    with pytest.raises(KitError, match="--level 3 is too much"):
        find_people(tmp_path, level=3)


def test_conditions_above_a_person(tmp_path):
    put(tmp_path, "masked/anna/1.jpg", "bare/anna/1.jpg", "other/bob/masked/2.jpg")
    found = {photo.source: photo.condition for photo in list_photos(tmp_path, level=1)}
    assert found == {
        "masked/anna/1.jpg": "mask",
        "bare/anna/1.jpg": "nonmask",
        "other/bob/masked/2.jpg": "mask",
    }
