"""Folders as users have them, through the command line: what is laid out otherwise is refused
with the remedy, and nothing is lost.
"""

import csv
import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfr_kit import assets, cli
from mfr_kit.augment import run as room
from mfr_kit.augment import shards
from mfr_kit.augment.run import Summary
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.images import encode, read_rgb
from tests.conftest import write_faceset


def copy_faces(folder: Path, people: dict[str, str], count: int = 1) -> Path:
    """Put photographs of ORL people into folders."""
    for name, person in people.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for take in range(1, count + 1):
            shutil.copy(assets.path("orl-faces") / person / f"{take}.pgm", folder / name)
    return folder


def augment(src: Path, dst: Path, *flags: str) -> int:
    return cli.main(["augment", str(src), str(dst), "--workers", "0", "--ratio", "0", *flags])


def refused(capsys, src: Path, dst: Path, *flags: str) -> str:
    capsys.readouterr()
    assert augment(src, dst, *flags) == 2
    error = capsys.readouterr().err
    assert error.count("error: ") == 1 and "Traceback" not in error
    assert not dst.exists() or dst == src
    return error.split("error: ")[1]


def of_whom(folder: Path) -> dict[str, int]:
    return dict(Counter(FaceSet.open(folder).identities))


def reasons(folder: Path) -> dict[str, str]:
    return {row["source"]: row["reason"] for row in FaceSet.open(folder).skipped}


def test_what_was_found_is_said_before_the_work(tmp_path, capsys):
    src = copy_faces(tmp_path / "src", {"a": "s1", "b": "s2"})
    (src / "empty").mkdir()
    (src / "beside.jpg").write_bytes(b"x")
    (src / "a" / "@eaDir").mkdir()
    (src / "a" / "@eaDir" / "thumb.jpg").write_bytes(b"x")
    assert augment(src, tmp_path / "set") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{src}: 3 people, 1 of them without a file, 2 photographs"
    assert said[1] == "  left out: 1 hidden, 1 no_person"
    assert said[2] == "  1 people without a file: empty"
    assert reasons(tmp_path / "set") == {"a/@eaDir/thumb.jpg": "hidden", "beside.jpg": "no_person"}


@pytest.mark.parametrize("branches", [("0", "1"), ("train", "val"), ("all",)])
def test_a_folder_one_level_too_high_is_refused_and_level_takes_it(tmp_path, capsys, branches):
    people = {f"{branch}/{name}{branch}": "s1" for branch in branches for name in "ab"}
    src = copy_faces(tmp_path / "src", people)
    error = refused(capsys, src, tmp_path / "set")
    assert ("--level 1" if len(branches) > 1 else f"give {src}/all as SRC") in error
    assert branches[0] in error and "--level 0" in error
    assert augment(src, tmp_path / "set", "--level", "1") == 0
    assert of_whom(tmp_path / "set") == {name.split("/")[1]: 1 for name in people}
    assert augment(src, tmp_path / "as_it_is", "--level", "0") == 0
    assert of_whom(tmp_path / "as_it_is") == dict.fromkeys(branches, 2)
    deeper = copy_faces(tmp_path / "deep", {f"x/{name}": person for name, person in people.items()})
    assert "--level 2" in refused(capsys, deeper, tmp_path / "d")


def test_a_branch_among_people_is_refused_and_rmfrds_layout_is_not(tmp_path, capsys):
    src = copy_faces(tmp_path / "src", {"anna": "s1", "more/bob": "s2", "more/carl": "s3"})
    (src / "more" / "list.txt").write_text("bob\ncarl\n")
    assert "more holds no photographs but folders" in refused(capsys, src, tmp_path / "set")
    people = {
        "anna/bare": "s1",
        "anna/masked": "s1",
        "bob/masked": "s2",
        "carl/x/y": "s3",
        "d": "s4",
    }
    assert augment(copy_faces(tmp_path / "rmfrd", people), tmp_path / "set") == 0
    made = FaceSet.open(tmp_path / "set")
    assert dict(zip(made.sources, made.conditions, strict=True)) == {
        "anna/bare/1.pgm": "nonmask",
        "anna/masked/1.pgm": "mask",
        "bob/masked/1.pgm": "mask",
        "carl/x/y/1.pgm": "nonmask",
        "d/1.pgm": "nonmask",
    }
    error = refused(capsys, tmp_path / "rmfrd" / "anna", tmp_path / "low")
    assert "one person's folder" in error


def test_lists_name_people_and_photographs_below_a_level(tmp_path):
    src = copy_faces(tmp_path / "src", {"0/anna": "s1", "1/bob": "s2", "1/carl": "s3"}, 2)
    (tmp_path / "people.txt").write_text("anna\nbob\n")
    (tmp_path / "exclude.txt").write_text("1/bob/2.pgm\n")
    flags = ["--people", str(tmp_path / "people.txt"), "--exclude", str(tmp_path / "exclude.txt")]
    assert augment(src, tmp_path / "set", "--level", "1", *flags) == 0
    assert of_whom(tmp_path / "set") == {"anna": 2, "bob": 1}


def test_a_face_set_is_no_folder_of_photographs(tmp_path, capsys):
    made = write_faceset(tmp_path / "set", 2, 2).folder
    assert "is a face set already" in refused(capsys, made, tmp_path / "x")
    (tmp_path / "link").symlink_to(made)
    assert "is a face set already" in refused(capsys, tmp_path / "link", tmp_path / "x")
    for flags in ([], ["--aligned"]):
        assert "masked twins" in refused(capsys, made / "faces", tmp_path / "x", *flags)
    clean = write_faceset(tmp_path / "clean", 2, 2, twins=False).folder
    assert "say --aligned" in refused(capsys, clean / "faces", tmp_path / "again")
    assert augment(clean / "faces", tmp_path / "again", "--aligned") == 0
    assert of_whom(tmp_path / "again") == {"p00": 2, "p01": 2}
    sets = copy_faces(tmp_path / "sets", {"anna": "s1"})
    shutil.copytree(made, sets / "bob")
    assert "bob is a face set already" in refused(capsys, sets, tmp_path / "x")
    (tmp_path / "y.part" / "work").mkdir(parents=True)
    (tmp_path / "y.part" / "work" / "plan.json").write_text("{}")
    assert "not whole" in refused(capsys, tmp_path / "y.part", tmp_path / "x")


@pytest.mark.skipif(sys.platform == "win32", reason="makes links")
def test_dst_inside_src_is_refused_also_through_links(tmp_path, capsys):
    src = copy_faces(tmp_path / "src", {"anna": "s1", "bob": "s2"})
    (tmp_path / "door").symlink_to(src)
    for dst in (src / "set", src / "anna" / "set", tmp_path / "door" / "set"):
        assert "lies inside SRC" in refused(capsys, src, dst)
        assert "lies inside SRC" in refused(capsys, src, dst, "--format", "rec")
    before = sorted(src.rglob("*"))
    for same in (src, tmp_path / "door"):
        assert augment(src, same) == 2
    assert sorted(src.rglob("*")) == before
    outer = copy_faces(tmp_path / "out" / "photos", {"anna": "s1"})
    assert augment(outer, tmp_path / "out") == 2
    assert augment(src, tmp_path / "src2") == 0  # begins alike, and lies beside


def test_crops_of_96x112_are_padded_and_other_sizes_are_skipped(tmp_path, capsys):
    whole = write_faceset(tmp_path / "whole", 2, 2, twins=False)
    for index, key in enumerate(whole.keys):
        target = tmp_path / "crops" / Path(key).relative_to("faces").with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(encode(np.ascontiguousarray(whole.image(index)[:, 8:104]), ".png"))
    odd = {"p00/a.png": (250, 250), "p00/b.png": (96, 112), "p01/c.png": (112, 92)}
    for name, size in odd.items():
        (tmp_path / "crops" / name).write_bytes(encode(np.zeros((*size, 3), np.uint8), ".png"))
    assert augment(tmp_path / "crops", tmp_path / "set", "--aligned", "--image", "png") == 0
    made = FaceSet.open(tmp_path / "set")
    assert len(made) == 4 and reasons(tmp_path / "set") == dict.fromkeys(odd, "not_aligned")
    assert (
        "112x96 pixels"
        in next(row for row in made.skipped if row["source"] == "p00/b.png")["detail"]
    )
    np.testing.assert_array_equal(made.similarities, [[1, 0, 8, 0]] * 4)
    for index in range(4):
        image = made.image(index)
        np.testing.assert_array_equal(image[:, 8:104], whole.image(index)[:, 8:104])
        assert not image[:, :8].any() and not image[:, 104:].any()
    photos = copy_faces(tmp_path / "photos", {"anna": "s1"}, 3)
    error = refused(capsys, photos, tmp_path / "x", "--aligned")
    assert "none of the 3 files" in error and "leave --aligned out" in error


def test_turned_photographs_are_turned_back(tmp_path, capsys):
    src = copy_faces(tmp_path / "src", {"anna": "s1"})
    upright = cv2.resize(read_rgb(src / "anna" / "1.pgm"), (230, 280))
    (src / "anna" / "1.pgm").unlink()
    for turns in range(4):
        turned = np.ascontiguousarray(np.rot90(upright, turns))
        (src / "anna" / f"{turns}.png").write_bytes(encode(turned, ".png"))
    assert augment(src, tmp_path / "set", "--upright", "--image", "png") == 0
    made = FaceSet.open(tmp_path / "set")
    assert len(made) == 4
    for index in range(4):
        image = made.image(index).astype(int)
        assert np.abs(image - made.image(0)).mean() < 6  # the same face, the same way up
        a, b, tx, ty = made.similarities[index]
        photo = read_rgb(src / made.sources[index])
        again = cv2.warpAffine(photo, np.array([[a, -b, tx], [b, a, ty]]), (112, 112))
        assert np.abs(image - again).mean() < 0.1  # from the photograph as it lies there
    said = capsys.readouterr().out
    assert all(f"1 turned by {degrees} degrees" in said for degrees in (90, 180, 270))
    told = json.loads((tmp_path / "set" / "faceset.json").read_text())["notes"]
    assert told == {f"turned by {degrees} degrees": 1 for degrees in (90, 180, 270)}
    assert augment(src, tmp_path / "x", "--upright", "--aligned") == 2


@pytest.mark.parametrize(
    ("faces", "unsure", "hinted"),
    [(15, 15, True), (100, 40, True), (100, 29, False), (9, 9, False)],
)
def test_many_low_scores_are_hinted_at(faces, unsure, hinted):
    done = Summary({"faces": faces, "twins": 0, "skipped": 0}, unsure=unsure)
    assert ("`--upright` turns them" in done.hint) == hinted


def test_a_reduced_photograph_has_the_similarity_of_the_whole(tmp_path, monkeypatch, capsys):
    from mfr_kit.data import images

    src = copy_faces(tmp_path / "src", {"anna": "s1"})
    big = cv2.resize(read_rgb(src / "anna" / "1.pgm"), (920, 1120), interpolation=cv2.INTER_CUBIC)
    (src / "anna" / "1.pgm").unlink()
    (src / "anna" / "1.jpg").write_bytes(encode(big))
    assert augment(src, tmp_path / "whole") == 0
    monkeypatch.setattr(images, "REDUCE_ABOVE", 92 * 112 * 16)
    assert augment(src, tmp_path / "reduced") == 0
    assert "1 huge, decoded at 1/4" in capsys.readouterr().out
    whole, reduced = (FaceSet.open(tmp_path / name) for name in ("whole", "reduced"))
    np.testing.assert_allclose(reduced.similarities[0], whole.similarities[0], rtol=0.1, atol=6)
    a, b, tx, ty = reduced.similarities[0]
    again = cv2.warpAffine(
        cv2.GaussianBlur(big, None, 2), np.array([[a, -b, tx], [b, a, ty]]), (112, 112)
    )
    assert np.abs(again.astype(int) - reduced.image(0)).mean() < 4  # of the whole photograph


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="needs names of any bytes")
def test_odd_names_and_odd_files_give_faces_or_rows(tmp_path, capsys):
    src = copy_faces(tmp_path / "src", {"anna": "s1", "Anna": "s2"})
    face = src / "anna" / "1.pgm"
    for name in (f"{'x' * 246}.pgm", f"{'x' * 245}y.pgm", "a.PGM", "noext", "q.JFIF"):
        shutil.copy(face, src / "anna" / name)
    shutil.copy(face, src / "anna" / os.fsdecode(b"\xd5\xd5.jpg"))
    os.mkfifo(src / "anna" / "pipe.jpg")
    (src / "anna" / "zero.jpg").symlink_to("/dev/zero")
    (src / "anna" / "dead.jpg").symlink_to("nowhere")
    assert augment(src, tmp_path / "set", "--ratio", "1", "--mask-on", "crop") == 0
    made = FaceSet.open(tmp_path / "set")
    assert len(made.clean()) == 7 and len(made) == 14 and of_whom(tmp_path / "set")["Anna"] == 2
    assert len({key.casefold() for key in made.keys}) == 14
    assert reasons(tmp_path / "set") == {
        "anna/\\xd5\\xd5.jpg": "bad_name",
        "anna/dead.jpg": "dead_link",
        "anna/pipe.jpg": "not_a_file",
        "anna/zero.jpg": "not_a_file",
    }
    with (tmp_path / "set" / "skipped.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 4
    assert augment(src, tmp_path / ("d" * 253)) == 0  # whose .part does not fit
    only = copy_faces(tmp_path / "only", {os.fsdecode(b"\xd5\xc5"): "s1"})
    assert "convmv" in refused(capsys, only, tmp_path / "x")


def test_what_changes_during_a_run_is_said_or_refused(tmp_path, capsys, monkeypatch):
    src = copy_faces(tmp_path / "src", {"anna": "s1", "bob": "s2"}, 2)
    face = src / "anna" / "1.pgm"
    make_shard = shards.make_shard

    def add_before(path: Path):
        def make(*arguments):
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                shutil.copy(face, path)
            return make_shard(*arguments)

        return make

    monkeypatch.setattr(shards, "make_shard", add_before(src / "bob" / "9.pgm"))
    assert augment(src, tmp_path / "set") == 0
    assert "changed during the run: 4 files at first, 5 then" in capsys.readouterr().out
    assert of_whom(tmp_path / "set") == {"anna": 2, "bob": 3}
    monkeypatch.setattr(shards, "make_shard", add_before(src / "aaron" / "1.pgm"))
    assert "other people" in refused(capsys, src, tmp_path / "labels", "--format", "rec")
    plan = tmp_path / "labels.part" / "work" / "plan.json"
    plan.write_text(plan.read_text()[:20])
    assert augment(src, tmp_path / "labels", "--format", "rec") == 0  # it held no face yet
    assert of_whom(tmp_path / "labels") == {"aaron": 1, "anna": 2, "bob": 3}


def test_a_file_that_changed_its_name_amid_a_chunk_is_noticed(tmp_path, capsys, monkeypatch):
    src = copy_faces(tmp_path / "src", {"anna": "s1"}, 3)
    monkeypatch.setattr(room, "finish", lambda job: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        augment(src, tmp_path / "set")
    (src / "anna" / "2.pgm").rename(src / "anna" / "2b.pgm")
    assert "changed since the run began" in refused(capsys, src, tmp_path / "set")
