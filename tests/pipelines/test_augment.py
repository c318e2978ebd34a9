"""`kit.py augment` on a few ORL people: the data contract, sameness, and that nothing a folder may hold is fatal."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfr_kit import assets, cli
from mfr_kit.data.align import TEMPLATE
from mfr_kit.data.faceset import FaceSet
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.pipelines import augment as room
from mfr_kit.pipelines.options import AugmentOptions
from tests.conftest import head


@pytest.fixture
def photos(tmp_path) -> Path:
    """Three ORL people, five photographs each, as any user's folder."""
    folder = tmp_path / "photos"
    for person in ("s1", "s2", "s3"):
        (folder / person).mkdir(parents=True)
        for take in range(1, 6):
            shutil.copy(assets.path("orl-faces") / person / f"{take}.pgm", folder / person)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {item.relative_to(folder).as_posix(): item.read_bytes() for item in folder.rglob("*") if item.is_file()}


def run(photos: Path, name: str, **options) -> FaceSet:
    target = photos.parent / name
    room.augment(AugmentOptions(src=photos, dst=target, **{"workers": 0, "ratio": 1.0, **options}))
    return FaceSet.open(target)


def test_every_face_is_clean_and_its_twin_beside_it(photos):
    made = run(photos, "set")
    clean, twins = made.clean(), made.select(made.conditions == "mask")
    assert len(clean) == 15
    assert len(twins) + len(made.skipped) == 15
    assert len(twins) >= 13
    assert set(twins.clean_keys) <= set(clean.keys)
    for index in range(len(made)):
        assert made.image(index).shape == (112, 112, 3)
        assert np.abs(made.points(index) - TEMPLATE).max() < 20
    parameters = [json.loads(text) for text in twins.masks]
    assert all(0.1 < item["coverage"] < 0.8 for item in parameters)
    assert not list(made.folder.parent.glob("*.part"))


def test_clean_faces_are_the_same_with_and_without_twins(photos):
    # peers.md B1: the clean picture must never be painted on.
    with_twins, without = run(photos, "a"), run(photos, "b", ratio=0.0)
    assert list(with_twins.clean().table["digest"].to_pylist()) == without.table["digest"].to_pylist()


def test_same_seed_same_bytes_whatever_the_workers(photos):
    first, second = run(photos, "a", ratio=0.5), run(photos, "b", ratio=0.5, workers=2)
    assert files_of(first.folder) == files_of(second.folder)
    other = run(photos, "c", ratio=0.5, seed=1)
    assert first.fingerprint != other.fingerprint


def test_the_ratio_is_the_share_that_gets_a_twin(photos, monkeypatch):
    monkeypatch.setattr(room, "CHUNK", 4)
    some = run(photos, "set", ratio=0.4, mask_on="crop")
    assert 2 <= sum(some.conditions == "mask") <= 10


def test_a_killed_run_continues_to_the_same_bytes(photos, monkeypatch):
    whole = run(photos, "whole")
    monkeypatch.setattr(room, "CHUNK", 4)
    in_pieces = photos.parent / "pieces"
    real_work = room._work

    def dies_at_the_third(maker, building, number, chunk):
        if number == 2:
            raise KeyboardInterrupt
        real_work(maker, building, number, chunk)

    monkeypatch.setattr(room, "_work", dies_at_the_third)
    options = AugmentOptions(src=photos, dst=in_pieces, workers=0, ratio=1.0)
    with pytest.raises(KeyboardInterrupt):
        room.augment(options)
    assert not in_pieces.exists()
    with pytest.raises(KitError, match="other options"):
        room.augment(AugmentOptions(src=photos, dst=in_pieces, workers=0, ratio=0.5))
    monkeypatch.setattr(room, "_work", real_work)
    summary = room.augment(options)
    assert summary.resumed == 8
    assert FaceSet.open(in_pieces).fingerprint == whole.fingerprint
    monkeypatch.setattr(room, "CHUNK", 4)
    room.augment(AugmentOptions(src=photos, dst=photos.parent / "again", workers=0, ratio=1.0))
    assert files_of(in_pieces) == files_of(photos.parent / "again")


def test_odd_files_are_listed_and_never_fatal(photos, capsys):
    odd = photos / "s1"
    (odd / "empty.jpg").write_bytes(b"")
    (odd / "text.jpg").write_text("not a picture")
    (odd / "notes.txt").write_text("hello")
    (odd / "wall.png").write_bytes(encode(np.full((300, 200, 3), 120, np.uint8), ".png"))
    (odd / "one.png").write_bytes(encode(np.zeros((1, 1, 3), np.uint8), ".png"))
    (photos / "readme.md").write_text("beside the people")
    cv2.imwrite(str(odd / "deep.png"), cv2.imread(str(odd / "1.pgm"), cv2.IMREAD_GRAYSCALE).astype(np.uint16) * 257)
    target = photos.parent / "set"
    assert cli.main(["augment", str(photos), str(target), "--workers", "0", "--ratio", "0"]) == 0
    made = FaceSet.open(target)
    reasons = {row["source"]: row["reason"] for row in made.skipped}
    assert reasons == {
        "s1/empty.jpg": "unreadable",
        "s1/text.jpg": "unreadable",
        "s1/notes.txt": "not_an_image",
        "s1/wall.png": "no_face",
        "s1/one.png": "no_face",
        "readme.md": "no_person",
    }
    assert "faces/s1/deep.jpg" in made.keys
    shown = capsys.readouterr().out
    assert "16 faces" in shown
    assert "2 no_face, 1 no_person, 1 not_an_image, 2 unreadable" in shown


def test_aligned_faces_need_no_detector_and_stay_as_they_are(tmp_path):
    for person in range(2):
        (tmp_path / "crops" / f"p{person}").mkdir(parents=True)
        (tmp_path / "crops" / f"p{person}" / "1.png").write_bytes(encode(head(person), ".png"))
        (tmp_path / "crops" / f"p{person}" / "2.png").write_bytes(encode(head(person, 1, size=224), ".png"))
    made = run(tmp_path / "crops", "set", aligned=True, image="png")
    np.testing.assert_array_equal(made.image(list(made.keys).index("faces/p0/1.png")), head(0))
    assert len(made) == 8
    twin = list(made.keys).index("faces/p0/1.masked.png")
    assert np.abs(made.image(twin)[75:105, 40:72].astype(int) - head(0)[75:105, 40:72]).mean() > 5
    np.testing.assert_allclose(made.points(twin), TEMPLATE, atol=1e-4)


def test_really_masked_photographs_get_no_twin(photos):
    (photos / "s1" / "masked").mkdir()
    shutil.copy(photos / "s1" / "1.pgm", photos / "s1" / "masked" / "9.pgm")
    made = run(photos, "set")
    row = list(made.sources).index("s1/masked/9.pgm")
    assert made.conditions[row] == "mask"
    assert made.clean_keys[row] == ""
    assert list(made.sources).count("s1/masked/9.pgm") == 1


def test_people_and_exclude_lists(photos, tmp_path):
    (tmp_path / "who.txt").write_text("s1\ns3\n")
    (tmp_path / "bad.txt").write_text("s3/2.pgm\n")
    made = run(photos, "set", people=tmp_path / "who.txt", exclude=tmp_path / "bad.txt", ratio=0.0)
    assert made.people == ["s1", "s3"]
    assert len(made) == 9


def test_a_dry_run_writes_nothing(photos, capsys):
    target = photos.parent / "set"
    assert cli.main(["augment", str(photos), str(target), "--dry-run", "--workers", "0"]) == 0
    shown = capsys.readouterr().out
    assert "15 files" in shown
    assert all(word in shown for word in ("time:", "disk:", "memory:"))
    assert sorted(item.name for item in photos.parent.iterdir()) == ["photos"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ratio", "1.5"], "--ratio"),
        (["--aligned", "--mask-on", "photo"], "contradict"),
        (["--masks", "no-such-mask"], "no-such-mask"),
        (["--detector", "gone.onnx"], "gone.onnx"),
        (["--people", "gone.txt"], "gone.txt"),
    ],
)
def test_bad_options_are_one_line_and_nothing_is_written(photos, capsys, flags, message):
    target = photos.parent / "set"
    assert cli.main(["augment", str(photos), str(target), "--workers", "0", *flags]) == 2
    assert message in capsys.readouterr().err
    assert not target.exists()


def test_an_existing_set_is_never_overwritten(photos):
    made = run(photos, "set")
    before = files_of(made.folder)
    with pytest.raises(KitError, match="exists already"):
        run(photos, "set", seed=3)
    assert files_of(made.folder) == before
