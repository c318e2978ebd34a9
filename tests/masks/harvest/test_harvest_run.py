"""A folder of photographs becomes a mask library that the kit draws from, beside a list of the
rest.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from mfr_kit.cli import main
from mfr_kit.data.alignment.detection import Detection
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.masks import drawn_heads, library
from mfr_kit.masks.harvest import run
from mfr_kit.masks.library import Library
from mfr_kit.masks.options import HarvestOptions
from mfr_kit.masks.render import render
from mfr_kit.seeding import rng_for
from tests.conftest import files_of

SIZE = 240


class Known:
    """A detector that finds the drawn heads' face in every picture of their size."""

    def detect(self, image: np.ndarray) -> list[Detection]:
        if image.shape[:2] != (SIZE, SIZE):
            return []
        landmarks = drawn_heads.draw(SIZE, 0, 3, 0)[1]
        low, high = landmarks.min(axis=0), landmarks.max(axis=0)
        return [Detection(np.concatenate([low, high - low]), landmarks, 0.9)]

    def refine(self, image: np.ndarray, face: Detection) -> Detection:
        return face


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    """Two masks, one of them twice, a bare head, a picture without a face, and a text."""
    monkeypatch.setattr(run, "load_detector", lambda robust: Known())
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    looks = library.load(["surgical-blue", "surgical-black"])
    for place, name in (
        ("a", "surgical-blue"),
        ("more/b", "surgical-blue"),
        ("c", "surgical-black"),
    ):
        look = looks.looks[name]
        mask = Library({name: look}, {name: 1.0}, looks.mix).draw(rng_for(5))
        placed = {"style": "right", "top": 14.0, "bottom": 121.0, "tilt_deg": 0.0, "shift": 0.0}
        mask.parameters.update(placed)
        head, landmarks = drawn_heads.draw(SIZE, 0, 3, 0)
        photo = render(head, landmarks, mask, rng_for(5))[0]
        (folder / f"{place}.png").write_bytes(encode(photo, ".png"))
    bare = drawn_heads.draw(SIZE, 0, 3, 0)[0]
    (folder / "bare.png").write_bytes(encode(bare, ".png"))
    (folder / "empty.png").write_bytes(encode(bare[:100], ".png"))
    (folder / "note.txt").write_text("no picture")
    return folder


def test_a_folder_becomes_a_library(photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["masks", "harvest", str(photos), str(out), "--licence", "my own"]) == 0
    assert "2 looks" in (said := capsys.readouterr().out) and "like_skin" in said
    with (out / run.LIST).open(newline="") as file:
        rows = {row["source"]: row for row in csv.DictReader(file)}
    assert rows["a.png"]["look"] == "harvested-00001"
    assert rows["c.png"]["look"] == "harvested-00002"
    reasons = {name: row["reason"] for name, row in rows.items() if not row["look"]}
    assert reasons.pop("note.txt")
    assert reasons == {"bare.png": "like_skin", "empty.png": "no_face", "more/b.png": "repeated"}
    assert rows["more/b.png"]["detail"] == "harvested-00001"
    assert 'licence = "my own"' in (out / "harvested-00001.toml").read_text()
    assert library.names(out) == ["harvested-00001", "harvested-00002"]
    assert library.load(None, out).kinds == ["harvested"]
    assert [path.name for path in (out / run.SHEETS).iterdir()] == ["001.jpg"]


def test_a_harvested_library_is_drawn_in_training(photos, tmp_path):
    from mfr_kit.masks.transform import MaskAugment

    run.harvest(HarvestOptions(photos=photos, out=tmp_path / "out"))
    draw = MaskAugment(folder=str(tmp_path / "out"), p=1)
    face = np.full((112, 112, 3), (200, 160, 130), np.uint8)
    for index in range(4):
        result = draw(image=face, mask=np.zeros((112, 112), np.uint8), mask_seed=(0, 0, index))
        covered = result["mask"] > 0
        assert covered[90, 56] and 0.1 < covered.mean() < 0.6
        assert not np.array_equal(result["image"], face)


def test_a_look_sits_where_the_mask_was(photos, tmp_path):
    run.harvest(HarvestOptions(photos=photos, out=tmp_path / "out"))
    fit = library.load(None, tmp_path / "out").looks["harvested-00001"].fit
    usual = library.load(["surgical-blue"]).looks["surgical-blue"].fit
    assert abs(fit.top - usual.top) < 4 and abs(fit.bottom - usual.bottom) < 6
    # drawn wider by the mix's mean, it is as wide as it was in the photograph
    wider = library.load().mix.ranges["width"][0]
    assert 0.85 < fit.side * wider / usual.side < 1.25


def test_the_same_photographs_give_the_same_files(photos, tmp_path):
    for name in ("one", "two"):
        run.harvest(HarvestOptions(photos=photos, out=tmp_path / name))
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_the_kits_masks_beside_keep_their_share(photos, tmp_path):
    run.harvest(HarvestOptions(photos=photos, out=tmp_path / "out", kit_share=0.4))
    both = library.load(None, tmp_path / "out")
    harvested = sum(share for name, share in both.shares.items() if name.startswith("harvested"))
    assert harvested == pytest.approx(0.6, abs=1e-4)
    kit = library.load()
    assert set(both.looks) == {*kit.looks, "harvested-00001", "harvested-00002"}
    replayed = both.replay(json.loads(json.dumps(both.draw(rng_for(0)).parameters)))
    assert replayed.look.name in both.looks


def test_nothing_is_replaced_and_nothing_left_behind(photos, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KitError, match="give a folder of photographs"):
        run.harvest(HarvestOptions(photos=tmp_path / "none", out=out))
    for name in ("a.png", "c.png", "more/b.png"):
        (photos / name).unlink()
    with pytest.raises(KitError, match=r"no mask to harvest .*like_skin"):
        run.harvest(HarvestOptions(photos=photos, out=out))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    assert main(["masks", "harvest", str(photos), str(out)]) == 2
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
