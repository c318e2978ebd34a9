"""Contact sheets and the gallery: odd pictures among the faces are counted, odd outputs refused,
nothing lost.
"""

import cv2
import numpy as np
import pytest

from mfr_kit.cli import main
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.masks.preview import GAP
from mfr_kit.masks.sheet_faces import FaceSource, load_faces
from tests.conftest import head, write_faceset

SMALL = ["--masks", "kn95", "--tile", "64"]


@pytest.fixture
def photographs(tmp_path):
    """Three aligned crops among what lies about in folders of photographs."""
    folder = tmp_path / "faces"
    (folder / "person" / "dir.jpg").mkdir(parents=True)
    for index in range(3):
        (folder / "person" / f"{index}.jpg").write_bytes(encode(head(index)))
    (folder / "person" / "0.masked.jpg").write_bytes(encode(head(0)))
    (folder / "empty.jpg").touch()
    (folder / "page.png").write_text("<html>not found</html>")
    (folder / "._0.jpg").write_bytes(b"\0\5\x16\7")
    (folder / "notes.txt").write_text("x")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / "big.jpg").write_bytes(encode(np.zeros((200, 100, 3), np.uint8)))
    return folder


def load(folder, *report):
    return load_faces(FaceSource(folder, aligned=True), 16, 160, 0, *report)


def test_what_is_no_usable_picture_is_left_out_and_counted(photographs):
    lines = []
    faces = load(photographs, lines.append)
    assert len(faces) == 3 and all(face.image.shape == (112, 112, 3) for face in faces)
    said = "1 dead link (gone.jpg)", "3 not an image (empty.jpg, ...)", "1 not 112x112 (--aligned)"
    assert len(lines) == 1 and all(part in lines[0] for part in said)


def test_a_folder_without_any_face_says_what_is_in_it(photographs):
    for path in (photographs / "person").glob("*.jpg"):
        if path.is_file():
            path.unlink()
    with pytest.raises(KitError, match=r"no face to draw on in .*3 not an image \(empty.jpg"):
        load(photographs)


@pytest.mark.parametrize(("name", "what"), [("nowhere", "missing"), ("notes.txt", "a file")])
def test_faces_must_be_a_folder(photographs, name, what):
    with pytest.raises(KitError, match=f"--faces .*{name} is {what}: give a folder"):
        load(photographs / name)


@pytest.mark.parametrize("command", ["preview", "gallery"])
def test_commands_go_on_without_the_odd_ones(photographs, tmp_path, command, capsys):
    out = tmp_path / "new" / "sheet.jpeg"
    faces = ["--faces", str(photographs), "--aligned"]
    assert main(["masks", command, str(out), *SMALL, *faces]) == 0
    captured = capsys.readouterr().out
    assert "left out" in captured
    if command == "preview":
        assert [item.name for item in (tmp_path / "new").iterdir()] == ["sheet.jpeg"]
        sheet = cv2.imread(str(out))
        looks, yaw, kinds, random = 128, 64, 64, 8 * 64  # three looks on three faces, two a row
        assert sheet.shape == (looks + yaw + kinds + random + 3 * GAP, 9 * 64, 3)
        assert sheet[:looks, 6 * 64 + 16 :].min() > 245 and sheet[:looks, : 6 * 64].min() < 128


def test_the_faces_of_a_face_set_are_shown_a_person_at_a_time(tmp_path):
    folder = tmp_path / "set"
    write_faceset(folder, people=3, takes=4)
    clean = FaceSet.open(folder).clean()
    found = load_faces(FaceSource(folder), 5, 64, 0, pytest.fail)
    rows = [
        next(row for row in range(len(clean)) if np.array_equal(clean.image(row), face.image))
        for face in found
    ]
    assert len(set(rows)) == 5
    assert [len({clean.labels[row] for row in rows[:3]}), len(rows)] == [3, 5]
    assert all(
        np.array_equal(clean.points(row), face.landmarks)
        for row, face in zip(rows, found, strict=True)
    )


def test_a_single_sheet_has_the_name_that_was_given(tmp_path, capsys):
    flags = ["--sheets", "kinds", "--masks", "kn95", "--masks", "cup", "--tile", "64"]
    assert main(["masks", "preview", str(tmp_path / "sheet.png"), *flags]) == 0
    assert [item.name for item in tmp_path.iterdir()] == ["sheet.png"]
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (64, 8 * 64, 3)
    assert main(["masks", "preview", str(tmp_path / "other.png"), "--sheets", "kind"]) == 2
    assert "unknown sheet 'kind'. Did you mean 'kinds'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("sheet.gif", "OUT must end in .png or .jpg"),
        ("folder", "for sheets inside that folder give"),
        ("file/sheet.png", "file"),
    ],
)
def test_odd_outputs_of_preview_are_refused_in_one_line(tmp_path, out, said, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert main(["masks", "preview", str(tmp_path / out), *SMALL]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert sorted(item.name for item in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("command", ["list", "stats", "render-library", "preview", "gallery"])
def test_every_command_refuses_a_broken_folder_in_one_line(tmp_path, command, capsys):
    (tmp_path / "m.toml").write_text('kind = "m"\nlicence = "x"\n[fit]\ntop = nan\n[[look]]')
    out = [str(tmp_path / "out.png")] if command in ("preview", "gallery") else []
    assert main(["masks", command, *out, "--folder", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "m.toml: [fit]: top must be a number" in error and error.count("\n") == 1
    assert [item.name for item in tmp_path.iterdir()] == ["m.toml"]


@pytest.mark.parametrize("command", ["stats", "preview", "gallery"])
def test_misspelt_masks_get_the_nearest_match(tmp_path, command, capsys):
    out = [str(tmp_path / "out.png")] if command != "stats" else []
    assert main(["masks", command, *out, "--masks", "surgical-blu"]) == 2
    assert "unknown mask 'surgical-blu'. Did you mean 'surgical-blue'?" in capsys.readouterr().err


def test_masks_in_one_flag_are_told_apart(capsys):
    assert main(["masks", "stats", "--masks", "kn95, cup"]) == 2
    assert "give each a flag of its own, --masks kn95 --masks cup" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["stats", "preview", "gallery"])
def test_negative_seeds_are_refused(tmp_path, command, capsys):
    out = [str(tmp_path / "out.png")] if command != "stats" else []
    assert main(["masks", command, *out, "--seed", "-1"]) == 2
    assert "--seed must be 0 or more, not -1" in capsys.readouterr().err


def test_the_gallery_replaces_its_own_page_only(tmp_path, capsys):
    command = ["masks", "gallery", str(tmp_path), *SMALL]
    page = tmp_path / "index.html"
    assert main(command) == 0 and main(command) == 2
    assert "replace it with --force" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0
    page.write_text("<h1>My site</h1>")
    assert main([*command, "--force"]) == 2
    assert page.read_text() == "<h1>My site</h1>"
    assert "choose another folder" in capsys.readouterr().err
