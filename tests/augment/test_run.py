"""`kit.py augment` on a few ORL people: the data contract, sameness, and that nothing a folder
may hold is fatal.
"""

import json
import os
import pickle
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfr_kit import assets, claims, cli, files
from mfr_kit.augment import crew, safe_point, shards, workplace
from mfr_kit.augment import run as room
from mfr_kit.augment.job import job_of
from mfr_kit.augment.journal import CLAIMS, WORK, hold_shard, journal_of
from mfr_kit.augment.options import AugmentOptions
from mfr_kit.data.alignment.align import TEMPLATE, warp
from mfr_kit.data.face_set.content import digest_of
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.formats import recordio
from mfr_kit.data.images import encode, read_rgb
from mfr_kit.data.record_reader import RecordReader
from mfr_kit.data.recordio import unpack
from mfr_kit.errors import KitError
from tests.conftest import files_of, head


@pytest.fixture
def photos(tmp_path) -> Path:
    """Three ORL people, five photographs each, as any user's folder."""
    folder = tmp_path / "photos"
    for person in ("s1", "s2", "s3"):
        (folder / person).mkdir(parents=True)
        for take in range(1, 6):
            shutil.copy(assets.path("orl-faces") / person / f"{take}.pgm", folder / person)
    return folder


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


def test_the_similarity_of_a_row_is_how_its_photograph_was_aligned(photos):
    made = run(photos, "set", ratio=0.0, image="png")
    for index in range(len(made)):
        a, b, tx, ty = made.similarities[index]
        again = warp(read_rgb(photos / made.sources[index]), np.array([[a, -b, tx], [b, a, ty]]))
        # stored as float32: a thirty-second of a pixel here or there
        assert np.abs(again.astype(int) - made.image(index)).mean() < 0.1
    moved = run(photos, "photo", mask_on="photo").similarities
    assert len(np.unique(moved, axis=0)) > len(made)  # a twin has an alignment of its own


def test_clean_faces_are_the_same_with_and_without_twins(photos):
    # The clean picture must never be painted on.
    with_twins, without = run(photos, "a"), run(photos, "b", ratio=0.0)
    assert (
        list(with_twins.clean().table["digest"].to_pylist()) == without.table["digest"].to_pylist()
    )


def test_same_seed_same_bytes_whatever_the_workers(photos):
    first, second = run(photos, "a", ratio=0.5), run(photos, "b", ratio=0.5, workers=2)
    assert files_of(first.folder) == files_of(second.folder)
    other = run(photos, "c", ratio=0.5, seed=1)
    assert first.fingerprint != other.fingerprint


def test_the_ratio_is_the_share_that_gets_a_twin(photos):
    some = run(photos, "set", ratio=0.4, mask_on="crop")
    assert 2 <= sum(some.conditions == "mask") <= 10


@pytest.mark.parametrize("form", ["folder", "rec"])
def test_a_stopped_run_continues_to_the_same_bytes(photos, monkeypatch, form):
    monkeypatch.setattr(shards, "CHUNK", 4)
    whole, in_pieces = run(photos, "whole", format=form), photos.parent / "pieces"
    real_make = crew.make_chunk

    def dies_at_the_third(maker, target, chunk, thread):
        if chunk[0].source == "s2/4.pgm":
            raise KeyboardInterrupt
        return real_make(maker, target, chunk, thread)

    monkeypatch.setattr(crew, "make_chunk", dies_at_the_third)
    options = AugmentOptions(src=photos, dst=in_pieces, workers=0, ratio=1.0, format=form)
    with pytest.raises(KeyboardInterrupt):
        room.augment(options)
    assert not in_pieces.exists()
    with pytest.raises(KitError, match="other options"):
        room.augment(AugmentOptions(src=photos, dst=in_pieces, workers=0, ratio=0.5, format=form))
    monkeypatch.setattr(crew, "make_chunk", real_make)
    assert room.augment(options).resumed >= 4
    assert files_of(in_pieces) == files_of(whole.folder)


def test_one_thread_stores_the_faces_of_all_chunks(photos, monkeypatch):
    monkeypatch.setattr(shards, "CHUNK", 4)
    real_store, threads = crew._store, []

    def store(folder, row):
        threads.append(threading.current_thread())  # kept: a number may be given again
        return real_store(folder, row)

    monkeypatch.setattr(crew, "_store", store)
    assert len(run(photos, "set")) == len(threads)
    assert len(set(threads)) == 1


def test_a_source_that_changed_between_stop_and_resume_is_refused(photos, monkeypatch):
    monkeypatch.setattr(shards, "CHUNK", 4)
    monkeypatch.setattr(room, "finish", lambda job: 1 / 0)
    options = AugmentOptions(src=photos, dst=photos.parent / "set", workers=0, ratio=0.0)
    with pytest.raises(ZeroDivisionError):
        room.augment(options)
    shutil.copy(photos / "s1" / "1.pgm", photos / "s1" / "0.pgm")
    with pytest.raises(KitError, match="changed since the run began"):
        room.augment(options)


def test_records_hold_the_same_set_as_a_folder(photos):
    folder, one, three = (
        run(photos, "a"),
        run(photos, "b", format="rec"),
        run(photos, "c", format="rec", shards=3, workers=2),
    )
    assert folder.fingerprint == one.fingerprint == three.fingerprint
    assert not (three.folder / "faces").exists()
    assert [three.encoded(i) for i in range(len(three))] == [
        folder.encoded(i) for i in range(len(folder))
    ]
    some = pickle.loads(pickle.dumps(three.select([20, 3])))
    np.testing.assert_array_equal(some.image(0), folder.image(20))
    assert some.keys[1] == folder.keys[3]
    (three.folder / "faces-00001.rec").unlink()
    with pytest.raises(KitError, match=r"faces-00001\.rec"):
        FaceSet.open(three.folder).of_people(["s2"]).image(0)


def test_a_shard_is_what_insightface_reads(photos):
    made = run(photos, "set", format="rec", shards=2, people=None)
    assert (made.folder / "property").read_text() == "3,112,112\n"
    for shard, people in ((0, {"s1"}), (1, {"s2", "s3"})):
        path = made.folder / f"faces-{shard:05d}.rec"
        opened = recordio.open_set(path)
        header = unpack(RecordReader(path).read(0), "header")
        assert header.labels == (len(opened) + 1, len(opened) + 1 + len(people))
        rows = np.isin(made.identities, list(people))
        assert [opened.person(i) for i in range(len(opened))] == list(made.identities[rows])
        assert [opened.encoded(i) for i in range(len(opened))] == [
            made.encoded(i) for i in np.flatnonzero(rows)
        ]


def test_shards_made_apart_in_any_order_are_the_set_of_one_command(photos):
    whole = run(photos, "whole", format="rec", shards=3)
    options = AugmentOptions(
        src=photos, dst=photos.parent / "apart", ratio=1.0, format="rec", shards=3
    )
    job = pickle.loads(pickle.dumps(job_of(options)))  # as a cluster sends it
    workplace.begin(job)
    shards.make_shard(job, 2, workers=0)
    with pytest.raises(KitError, match="shard 0 of 3"):
        workplace.finish(job)
    shards.make_shard(job, 0, workers=0)
    shards.make_shard(job, 1, workers=0)
    workplace.finish(job)
    assert files_of(photos.parent / "apart") == files_of(whole.folder)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a fork of this process")
def test_killed_before_the_plan_has_its_name_it_begins_anew(photos, monkeypatch):
    options = AugmentOptions(src=photos, dst=photos.parent / "set", workers=0, ratio=0.0)
    if not (child := os.fork()):
        monkeypatch.setattr(files, "move_into_place", lambda *_: os._exit(9))
        workplace.begin(job_of(options))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    (left,) = (photos.parent / "set.part" / WORK).iterdir()
    assert left.name.startswith(".plan.json.")
    assert room.augment(options).counts["faces"] == 15
    assert not left.exists()


def test_more_shards_than_people_are_refused(photos):
    with pytest.raises(KitError, match="--shards 4"):
        run(photos, "set", shards=4)


def test_two_runs_of_one_set_do_not_mix(photos, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_S", 0.05)
    options = AugmentOptions(src=photos, dst=photos.parent / "set", workers=0)
    job = job_of(options)
    workplace.begin(job)
    with hold_shard(job.target.building, 0), pytest.raises(KitError, match="another run"):
        room.augment(options)
    assert room.augment(options).counts["faces"] == 15


def test_a_run_that_lost_its_shard_to_another_writes_no_more(photos, monkeypatch):
    monkeypatch.setattr(shards, "CHUNK", 4)
    whole = run(photos, "whole")
    options = AugmentOptions(src=photos, dst=photos.parent / "set", workers=0, ratio=1.0)
    job = job_of(options)
    workplace.begin(job)
    claim = job.target.building / WORK / CLAIMS / "00000"

    def stand_still(done: int) -> None:
        claim.write_text('{"host": "elsewhere", "pid": 1, "claim": "x"}')

    with pytest.raises(KitError, match="another has taken over shard 0"):
        shards.make_shard(job, 0, progress=stand_still, workers=0)
    assert len(journal_of(job.target.building, 0).read_bytes().splitlines()) == 1
    monkeypatch.setattr(claims, "STALE_S", 0.1)
    assert room.augment(options).resumed == 4
    assert files_of(photos.parent / "set") == files_of(whole.folder)


@pytest.mark.parametrize("format", ["folder", "rec"])
def test_after_a_power_cut_what_was_not_on_the_disk_is_made_again(photos, monkeypatch, format):
    """Three chunks are noted, two of them synced; then the machine starts anew, and of the third
    only the names are left.
    """
    monkeypatch.setattr(shards, "CHUNK", 4)
    monkeypatch.setattr(safe_point, "EVERY", 2)
    whole = run(photos, "whole", format=format)
    options = AugmentOptions(
        src=photos, dst=photos.parent / "set", workers=0, ratio=1.0, format=format
    )
    job = job_of(options)
    workplace.begin(job)
    chunks = iter([None, None, KeyboardInterrupt])

    def stop(done: int) -> None:
        if reason := next(chunks):
            raise reason

    with pytest.raises(KeyboardInterrupt):
        shards.make_shard(job, 0, progress=stop, workers=0)
    building = job.target.building
    lines = journal_of(building, 0).read_bytes().splitlines()
    assert len(lines) == 3
    if format == "rec":
        (rec,) = building.glob("*.rec")
        rec.write_bytes(rec.read_bytes()[: json.loads(lines[1])["position"][0] + 40])
    else:
        for row in json.loads(lines[2])["faces"]:
            (building / row["key"]).write_bytes(b"")
    monkeypatch.setattr(safe_point, "boot", lambda: "the next one")
    assert room.augment(options).resumed == 8
    assert files_of(photos.parent / "set") == files_of(whole.folder)


def test_a_photograph_called_like_a_twin_stays_itself(photos):
    shutil.copy(photos / "s1" / "2.pgm", photos / "s1" / "1.masked.pgm")
    made = run(photos, "set")
    assert len(set(made.keys)) == len(made)
    assert list(made.sources).count("s1/1.masked.pgm") == 2
    for index in range(len(made)):
        assert digest_of(made.encoded(index)) == made.table["digest"][index].as_py()


def test_odd_files_are_listed_and_never_fatal(photos, capsys):
    odd = photos / "s1"
    (odd / "empty.jpg").write_bytes(b"")
    (odd / "text.jpg").write_text("not a picture")
    (odd / "notes.txt").write_text("hello")
    (odd / "wall.png").write_bytes(encode(np.full((300, 200, 3), 120, np.uint8), ".png"))
    (odd / "one.png").write_bytes(encode(np.zeros((1, 1, 3), np.uint8), ".png"))
    (photos / "readme.md").write_text("beside the people")
    cv2.imwrite(
        str(odd / "deep.png"),
        cv2.imread(str(odd / "1.pgm"), cv2.IMREAD_GRAYSCALE).astype(np.uint16) * 257,
    )
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
        (tmp_path / "crops" / f"p{person}" / "2.png").write_bytes(encode(head(person, 1), ".png"))
    made = run(tmp_path / "crops", "set", aligned=True, image="png")
    np.testing.assert_array_equal(made.image(list(made.keys).index("faces/p0/1.png")), head(0))
    assert len(made) == 8
    twin = list(made.keys).index("faces/p0/1.masked.png")
    assert np.abs(made.image(twin)[75:105, 40:72].astype(int) - head(0)[75:105, 40:72]).mean() > 5
    np.testing.assert_allclose(made.points(twin), TEMPLATE, atol=1e-4)


def test_aligned_faces_can_be_given_landmarks_of_their_own(photos, tmp_path):
    aligned = run(photos, "set", ratio=0.0, image="png")
    for index, key in enumerate(aligned.keys):
        target = tmp_path / "crops" / str(key).removeprefix("faces/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(aligned.encoded(index))
    plain = run(tmp_path / "crops", "plain", aligned=True, ratio=0.0, image="png")
    found = run(tmp_path / "crops", "found", aligned=True, detect=True, ratio=0.0, image="png")
    assert [found.image(i).tobytes() for i in range(len(found))] == [
        plain.image(i).tobytes() for i in range(len(plain))
    ]
    off = [
        np.abs(faces.points(i) - aligned.points(i)).mean()
        for faces in (plain, found)
        for i in range(len(aligned))
    ]
    assert np.mean(off[len(aligned) :]) < 0.9 * np.mean(off[: len(aligned)])
    with pytest.raises(KitError, match="--detect only"):
        AugmentOptions(src=photos, dst=tmp_path / "x", detect=True)


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
        (["--detector-model", "gone.onnx"], "gone.onnx"),
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


def test_masks_of_a_folder_of_ones_own(photos, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "own.toml").write_text(
        'licence = "x"\n[recipe]\noutline = [[0, 15], [40, 25], [70, 50], [50, 105], [0, 120]]\n'
        '[[look]]\nname = "own-red"\ncolours = { base = ["#ff0000"] }\n'
    )
    made = run(photos, "set", mask_folder=own, mask_on="crop")
    looks = {json.loads(text)["look"] for text in made.masks if text}
    assert looks == {"own-red"}
    assert made.about["mask_library"] != run(photos, "usual", ratio=0.0).about.get("mask_library")
    with pytest.raises(KitError, match="no folder of masks"):
        run(photos, "none", mask_folder=tmp_path / "none")
    assert not (tmp_path / "none.part").exists()


def test_a_misspelt_mask_leaves_nothing_behind(tmp_path, capsys):
    (tmp_path / "src" / "person").mkdir(parents=True)
    (tmp_path / "src" / "person" / "0.jpg").write_bytes(encode(head(0)))
    command = ["augment", str(tmp_path / "src"), str(tmp_path / "dst"), "--aligned"]
    assert cli.main([*command, "--masks", "surgical-blu"]) == 2
    assert "Did you mean 'surgical-blue'" in capsys.readouterr().err
    assert [item.name for item in tmp_path.iterdir()] == ["src"]


def test_people_without_a_face_are_counted_in_the_summary(photos, capsys):
    (photos / "nobody").mkdir()
    (photos / "blank").mkdir()
    cv2.imwrite(str(photos / "blank" / "1.png"), np.zeros((200, 200, 3), np.uint8))
    target = photos.parent / "set"
    assert cli.main(["augment", str(photos), str(target), "--ratio", "0", "--workers", "0"]) == 0
    shown = capsys.readouterr()
    assert "2 of 5 people have no face in the set" in shown.out and ": blank, nobody" in shown.out
    assert f"next: python kit.py split {target} {photos.parent}/lists" in shown.err


def test_people_of_a_list_have_a_share_of_twins_of_their_own(photos, tmp_path):
    held = tmp_path / "holdout.txt"
    held.write_text("s2\n", encoding="utf-8")
    made = run(photos, "set", ratio=0.0, ratio_people=[f"{held}=1"])
    twins = made.select(made.conditions == "mask")
    assert {str(key).split("/")[1] for key in twins.keys} == {"s2"} and len(twins) == 5
    about = json.loads((photos.parent / "set" / "faceset.json").read_text(encoding="utf-8"))
    assert about["ratio_people"] == {"1": 1}
    everybody = run(photos, "all", ratio=1.0)
    mask = {str(key): everybody.image(row) for row, key in enumerate(everybody.keys)}
    assert all(
        np.array_equal(twins.image(row), mask[str(key)]) for row, key in enumerate(twins.keys)
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["held.txt"], "say LIST=SHARE"),
        (["held.txt=2"], "a share between 0 and 1"),
        (["held.txt=nan"], "a share between 0 and 1"),
        (["nobody.txt=1"], "nobody"),
        (["held.txt=1", "other.txt=0.5"], "s2 is in another list with the share 1"),
    ],
)
def test_bad_shares_are_one_line_and_write_nothing(photos, given, words, capsys, monkeypatch):
    monkeypatch.chdir(photos.parent)
    for name, content in (("held", "s2"), ("other", "s1\ns2"), ("nobody", "nobody")):
        Path(f"{name}.txt").write_text(f"{content}\n", encoding="utf-8")
    flags = [word for text in given for word in ("--ratio-people", text)]
    assert cli.main(["augment", str(photos), "out", "--workers", "0", *flags]) == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not Path("out").exists() and not Path("out.part").exists()


def test_a_run_goes_on_only_with_the_same_shares(photos, tmp_path):
    held = tmp_path / "held.txt"
    held.write_text("s2\n", encoding="utf-8")
    options = AugmentOptions(src=photos, dst=tmp_path / "set", ratio_people=[f"{held}=1"])
    workplace.begin(job_of(options))
    before = workplace._plan_of(job_of(options))
    held.write_text("s1\n", encoding="utf-8")
    assert workplace._plan_of(job_of(options)) != before
    held.rename(tmp_path / "moved.txt").write_text("s2\n", encoding="utf-8")
    moved = AugmentOptions(
        src=photos, dst=tmp_path / "set", ratio_people=[f"{tmp_path / 'moved.txt'}=1"]
    )
    assert workplace._plan_of(job_of(moved)) == before
