"""The same folders through `convert` and `audit`: one walk, the same refusals, and every file is
somewhere.
"""

import csv
import os
import shutil
import sys

import cv2
import numpy as np
import pytest

from mfr_kit import cli
from mfr_kit.audit.findings import Thresholds, inspect_set
from mfr_kit.audit.scan import open_set, scan
from mfr_kit.data.alignment.detection import Detection
from mfr_kit.data.alignment.upright import find_crop_turn, find_upright, turn, turn_matrix
from mfr_kit.data.convert import convert, open_any
from mfr_kit.data.images import encode, read_rgb
from mfr_kit.errors import KitError
from tests.augment.test_layouts import copy_faces
from tests.conftest import head, write_faceset


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def refused(capsys, *arguments: object) -> str:
    capsys.readouterr()
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def test_levels_and_places_are_checked_by_every_command(tmp_path, capsys):
    src = copy_faces(tmp_path / "src", {"0/anna": "s1", "1/bob": "s2", "1/carl": "s3"})
    audited = ("audit", src, "--model", "none", "--out")
    assert "--level 1" in refused(capsys, "convert", src, tmp_path / "a.rec")
    assert "--level 1" in refused(capsys, *audited, tmp_path / "audit")
    assert "lies inside SRC" in refused(capsys, "convert", src, src / "a.rec")
    assert "lies inside SRC" in refused(capsys, *audited, src / "audit", "--level", "1")
    assert sorted(item.name for item in src.iterdir()) == ["0", "1"]
    assert run("convert", src, tmp_path / "a.rec", "--level", "1") == 0
    assert open_any(tmp_path / "a.rec")[1].people == ["anna", "bob", "carl"]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{src}: 3 people, 3 photographs"
    assert run(*audited, tmp_path / "audit", "--level", "1") == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{src}: 3 people, 3 photographs"
    other = copy_faces(tmp_path / "other", {"bob": "s2"})
    assert run("audit", src, other, "--level", "1", *audited[2:], tmp_path / "both") == 0
    assert "photo in both" in (tmp_path / "both" / "findings.csv").read_text()
    assert "no folder levels" in refused(
        capsys, "convert", tmp_path / "a.rec", tmp_path / "b", "--level", "1"
    )
    made = write_faceset(tmp_path / "sets" / "anna", 2, 1).folder
    assert "anna is a face set already" in refused(
        capsys, "convert", made.parent, tmp_path / "c.rec"
    )
    frames = copy_faces(tmp_path / "frames", {"anna/0": "s1", "anna/1": "s2", "bob/0": "s3"})
    assert convert(frames, tmp_path / "out", level=0).people == 2  # what is written reads back


@pytest.mark.skipif(
    sys.platform in ("win32", "darwin"), reason="needs links and names of any bytes"
)
def test_every_file_is_in_the_copy_or_in_its_skipped_list_and_among_the_findings(tmp_path):
    src = copy_faces(tmp_path / "src", {"anna": "s1", "bob": "s2"}, 2)
    face = src / "anna" / "1.pgm"
    (tmp_path / "away").mkdir()
    shutil.copy(face, tmp_path / "away" / "linked.pgm")
    (src / "anna" / "more").symlink_to(tmp_path / "away")
    shutil.copy(face, src / "anna" / "no_suffix")
    shutil.copy(face, src / "anna" / "UPPER.PGM")
    shutil.copy(face, src / "beside.pgm")
    shutil.copy(face, src / "anna" / os.fsdecode(b"\xd5\xd5.pgm"))
    (src / "anna" / "note.txt").write_text("hello")
    (src / "anna" / "dead.jpg").symlink_to("nowhere")
    (src / "anna" / "zero.jpg").symlink_to("/dev/zero")
    os.mkfifo(src / "bob" / "pipe.jpg")
    (src / "bob" / "@eaDir").mkdir()
    shutil.copy(face, src / "bob" / "@eaDir" / "thumb.pgm")
    expected = {
        "anna/note.txt": "not_an_image",
        "anna/dead.jpg": "dead_link",
        "anna/zero.jpg": "not_a_file",
        "anna/\\xd5\\xd5.pgm": "bad_name",
        "bob/pipe.jpg": "not_a_file",
        "bob/@eaDir/thumb.pgm": "hidden",
        "beside.pgm": "no_person",
    }
    for dst in ("a.rec", "a.txt", "copy"):
        assert run("convert", src, tmp_path / dst) == 0
        with (tmp_path / f"{dst}.skipped.csv").open(encoding="utf-8", newline="") as file:
            assert {row["source"]: row["reason"] for row in csv.DictReader(file)} == expected
        assert len(open_any(tmp_path / dst)[1]) == 7
    assert run("audit", src, "--model", "none", "--out", tmp_path / "audit") == 0
    with (tmp_path / "audit" / "findings.csv").open(encoding="utf-8", newline="") as file:
        kinds = {row["photo"]: row["kind"] for row in csv.DictReader(file)}
    assert {name: kinds[name] for name in expected} == {
        name: f"left out ({reason})" for name, reason in expected.items()
    }


def test_a_list_that_names_a_device_does_not_hang(tmp_path):
    (tmp_path / "1.png").write_bytes(encode(head(0), ".png"))
    (tmp_path / "a.txt").write_text("1.png\tAnn\n/dev/zero\tAnn\n")
    with pytest.raises(KitError, match="line 2: /dev/zero lies outside of"):
        convert(tmp_path / "a.txt", tmp_path / "out")
    proof = convert(tmp_path / "a.txt", tmp_path / "out", allow_outside=True)
    assert (proof.photographs, proof.skipped) == (1, 1)
    assert "not a regular file" in (tmp_path / "out.skipped.csv").read_text()


class Unsure:
    """Finds the one face of a picture; its score is written in the red of the first pixel."""

    def detect(self, image: np.ndarray) -> list[Detection]:
        score = float(image[0, 0, 0]) / 100
        points = np.array([[2, 2], [6, 2], [4, 4], [3, 6], [5, 6]], np.float32)
        return [Detection(np.array([0, 0, 8, 8], np.float32), points, score)] if score else []

    detect_in_crop = detect


@pytest.mark.parametrize(
    ("scores", "turns"),
    [  # of the picture as it is, and turned once, twice, three times
        ((95, 0, 99, 0), 0),  # sure
        ((85, 89, 91, 90), 2),  # another turn is better, and convincing
        ((85, 80, 86, 0), 0),  # not by enough
        ((60, 0, 80, 0), 0),  # better, but not convincing
        ((0, 0, 0, 93), 3),
        ((0, 60, 0, 70), 0),
    ],
)
def test_a_photograph_is_turned_where_another_turn_is_better_and_convincing(scores, turns):
    corners = [(0, 0), (0, -1), (-1, -1), (-1, 0)]  # which become the first pixel
    image = np.zeros((10, 12, 3), np.uint8)
    for (row, column), score in zip(corners, scores, strict=True):
        image[row, column, 0] = score
    found, faces = find_upright(Unsure(), image)
    assert found == turns and (not faces) == (scores[turns] == 0)
    crop = find_crop_turn(Unsure(), image)
    assert crop == (int(np.argmax(scores)) if scores[0] < 90 and max(scores) > scores[0] + 5 else 0)


def test_points_go_where_a_turn_brings_their_pixels():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    for turns in range(4):
        matrix = turn_matrix(turns, image.shape[:2])
        x, y = matrix @ (6, 1, 1)
        np.testing.assert_array_equal(turn(image, turns)[int(y), int(x)], image[1, 6])


def test_audit_finds_turned_photographs(tmp_path):
    from mfr_kit.data.alignment.detect import load_detector

    src = copy_faces(tmp_path / "src", {"anna": "s1"}, 3)
    for take, turns in ((1, 0), (2, 2), (3, 1)):
        photo = cv2.resize(read_rgb(src / "anna" / f"{take}.pgm"), (230, 280))
        (src / "anna" / f"{take}.pgm").unlink()
        (src / "anna" / f"{take}.png").write_bytes(encode(turn(photo, turns), ".png"))
    scanned = scan(open_set(src), None, load_detector())
    found = {item.photo: item.kind for item in inspect_set(scanned, Thresholds())}
    assert found == {"anna/2.png": "turned by 180 degrees", "anna/3.png": "turned by 270 degrees"}


def test_a_list_of_nothing_is_explained(tmp_path):
    (tmp_path / "src" / "anna").mkdir(parents=True)
    with pytest.raises(KitError, match="no photograph in the folders of 1 people"):
        open_any(tmp_path / "src")
