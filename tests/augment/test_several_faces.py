"""A photograph with several faces says so, and `--faces` chooses among them."""

import json
from pathlib import Path

import numpy as np
import pytest

from mfr_kit import cli
from mfr_kit.data.alignment.align import TEMPLATE
from mfr_kit.data.alignment.detection import Detection, pick_face, pick_faces
from mfr_kit.data.detectors.insightface import InsightFace
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.images import encode
from tests.data.made_up_detector import COLOURS, expected, paint, write_scrfd

# stride, anchor, colour, column, row of a 640x640 photograph: boxes are some 11 strides wide
SMALL_MIDDLE = (8, 0, COLOURS[8], 40, 40)
LARGE_OFF = (16, 0, COLOURS[16], 24, 20)
HUGE_CORNER = (32, 0, COLOURS[32], 2, 2)


def box(left: float, top: float, side: float) -> Detection:
    return Detection(np.array([left, top, side, side], np.float32), TEMPLATE, 0.9)


def test_each_rule_picks_the_face_that_it_names():
    small_middle, large_edge, large_near = box(96, 96, 8), box(0, 0, 60), box(80, 60, 50)
    faces = [small_middle, large_edge, large_near]
    assert pick_face(faces, (200, 200)) is large_near
    assert pick_face(faces, (200, 200), "largest") is large_edge
    assert pick_face(faces, (200, 200), "central") is small_middle
    # area less twice the squared distance: 64 - 0, 3600 - 2 * 9800, 2500 - 2 * 250
    assert pick_faces(faces, (200, 200), "all") == [large_near, small_middle, large_edge]
    assert pick_faces([], (200, 200), "all") == pick_faces([], (200, 200), "largest") == []


@pytest.fixture
def photos(tmp_path) -> Path:
    """Of anna one photograph with three faces and one with one, and of bob one with one."""
    write_scrfd(tmp_path / "det.onnx")
    spots = {
        "anna/group": (SMALL_MIDDLE, LARGE_OFF, HUGE_CORNER),
        "anna/alone": (SMALL_MIDDLE,),
        "bob/alone": (LARGE_OFF,),
    }
    for name, painted in spots.items():
        image = np.full((640, 640, 3), 30, np.uint8)
        for stride, _, colour, column, row in painted:
            paint(image, stride, colour, column, row)
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(image, ".png"))
    return tmp_path / "photos"


def augment(photos: Path, name: str, *flags: str) -> FaceSet:
    dst, detector = photos.parent / name, photos.parent / "det.onnx"
    how = ["--workers", "0", "--detector", "insightface", "--detector-model", str(detector)]
    assert cli.main(["augment", str(photos), str(dst), *how, *flags]) == 0
    return FaceSet.open(dst)


def middle_of(faces: FaceSet, key: str) -> np.ndarray:
    """Where in the photograph the middle of a face's template lies."""
    a, b, tx, ty = faces.similarities[list(faces.keys).index(key)].astype(float)
    return np.linalg.solve([[a, -b], [b, a]], TEMPLATE.mean(axis=0) - (tx, ty))


def points_of(spot: tuple) -> np.ndarray:
    return expected(*spot)[1].mean(axis=0)


@pytest.mark.parametrize(
    ("rule", "spot"),
    [(None, LARGE_OFF), ("largest", HUGE_CORNER), ("central", SMALL_MIDDLE)],
)
def test_one_face_is_taken_and_the_others_are_counted(photos, capsys, rule, spot):
    faces = augment(photos, "set", "--ratio", "0", *(["--faces", rule] if rule else []))
    assert sorted(faces.keys) == [
        f"faces/{n}.jpg" for n in ("anna/alone", "anna/group", "bob/alone")
    ]
    np.testing.assert_allclose(middle_of(faces, "faces/anna/group.jpg"), points_of(spot), atol=0.1)
    said = capsys.readouterr().out
    rule = rule or "prominent"
    others = [name for name in ("prominent", "largest", "central", "all") if name != rule]
    line = f"1 photograph(s) hold more than one face: the {rule} one was taken"
    assert f"{line} (--faces {', '.join(others[:2])} or {others[2]})\n" in said
    about = json.loads((faces.folder / "faceset.json").read_text())
    assert about["notes"] == {"more than one face": 1} and about["options"]["faces"] == rule


def test_all_faces_are_numbered_from_the_most_prominent_on(photos, capsys):
    faces = augment(photos, "set", "--ratio", "1", "--mask-on", "crop", "--faces", "all")
    clean = [f"faces/anna/{n}.jpg" for n in ("alone#1", "group#1", "group#2", "group#3")]
    clean.append("faces/bob/alone#1.jpg")
    assert list(faces.clean().keys) == clean
    twins = faces.select(faces.conditions == "mask")
    assert list(twins.clean_keys) == clean
    assert list(twins.keys) == [key.replace(".jpg", ".masked.jpg") for key in clean]
    assert len(set(twins.masks)) == 5  # each of its own draw
    assert set(faces.sources) == {"anna/alone.png", "anna/group.png", "bob/alone.png"}
    for number, spot in enumerate((LARGE_OFF, SMALL_MIDDLE, HUGE_CORNER), 1):
        found = middle_of(faces, f"faces/anna/group#{number}.jpg")
        np.testing.assert_allclose(found, points_of(spot), atol=0.1)
    said = capsys.readouterr().out
    assert "1 photograph(s) hold more than one face: all were taken (--faces prominent" in said
    again = augment(photos, "again", "--ratio", "1", "--mask-on", "crop", "--faces", "all")
    assert again.fingerprint == faces.fingerprint


def test_a_photographs_own_number_sign_does_not_clash(photos):
    group = photos / "anna" / "group.png"
    (photos / "anna" / "group#1.png").write_bytes(group.read_bytes())
    faces = augment(photos, "set", "--ratio", "0", "--faces", "all")
    names = [key.removeprefix("faces/anna/").removesuffix(".jpg") for key in faces.keys[:-1]]
    groups = [f"group{sign}#{number}" for sign in ("", "#1") for number in (1, 2, 3)]
    assert sorted(names) == sorted(["alone#1", *groups])


def test_bystanders_are_not_measured_or_trained_on_under_a_persons_name(photos, capsys):
    augment(photos, "set", "--ratio", "0", "--faces", "all")
    where = str(photos.parent / "set")
    for command in (
        ["evaluate", "sface", "--data", where],
        ["distill", "--data", where, "--teacher", "sface", "--out", str(photos.parent / "run")],
    ):
        capsys.readouterr()
        assert cli.main(command) == 2
        error = capsys.readouterr().err
        assert "--faces all, and 1 photograph(s) hold more than one face: bystanders" in error
    (photos / "anna" / "group.png").unlink()
    faces = augment(photos, "one", "--ratio", "0", "--faces", "all")
    capsys.readouterr()
    assert list(faces.keys) == ["faces/anna/alone#1.jpg", "faces/bob/alone#1.jpg"]
    assert cli.main(["evaluate", "nothing.onnx", "--data", str(photos.parent / "one")]) == 2
    assert "bystanders" not in capsys.readouterr().err  # refused for its model


def test_an_aligned_face_leaves_no_choice(photos, capsys):
    flags = ["--aligned", "--faces", "largest"]
    assert cli.main(["augment", str(photos), str(photos.parent / "x"), *flags]) == 2
    assert "--aligned and --faces largest contradict each other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "shown"),
    [  # three photographs, then those that get a mask; a turned one's further looks are its own
        (["--ratio", "0"], [3]),
        (["--ratio", "1"], [3, 3]),
        (["--ratio", "0", "--upright"], [3]),
        (["--ratio", "1", "--mask-on", "crop", "--faces", "all"], [3]),
    ],
)
def test_photographs_looked_at_together_give_the_same_set(photos, monkeypatch, flags, shown):
    alone, sizes, detect_many = augment(photos, "alone", *flags), [], InsightFace.detect_many

    def count(detector, images):
        sizes.append(len(images))
        return detect_many(detector, images)

    monkeypatch.setattr(InsightFace, "detect_many", count)
    together = augment(photos, "together", *flags, "--detect-batch", "8")
    assert sizes == shown
    assert list(alone.keys) == list(together.keys) and len(alone) >= 3
    assert list(alone.sources) == list(together.sources)
    assert alone.skipped == together.skipped
    for index in range(len(alone)):
        np.testing.assert_allclose(alone.points(index), together.points(index), atol=1e-2)
        apart = alone.image(index).astype(int) - together.image(index)
        assert np.abs(apart).mean() < 0.5
    about = json.loads((together.folder / "faceset.json").read_text())
    assert about["options"]["detect_batch"] == 8


def test_a_detector_that_takes_one_photograph_says_so(photos, capsys):
    dst = photos.parent / "yunet"
    flags = ["--workers", "0", "--detect-batch", "4"]
    assert cli.main(["augment", str(photos), str(dst), *flags]) == 2  # no face in these
    assert "--detect-batch: OpenCV shows YuNet one photograph a call" in capsys.readouterr().out
