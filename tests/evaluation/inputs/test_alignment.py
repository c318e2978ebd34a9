"""Two alignments of the same photographs: matched by photograph, measured under every model,
compared in pairs.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from mfr_kit import cli
from mfr_kit.data.face_set import faceset as fs
from mfr_kit.data.face_set.content import digest_of
from mfr_kit.data.face_set.faceset_writer import write_rows
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.evaluation.compare import evaluate_set
from mfr_kit.evaluation.inputs.alignment import match
from tests.conftest import write_faceset
from tests.evaluation.fakes import ColourEmbedder

FARS = ["--far", "0.4", "--far", "0.2"]


# a twin, and a photograph, which then has no twin
LOST = (("p01/2.jpg", "mask"), ("p02/0.jpg", "nonmask"))
GONE = (("p00/3.jpg", "mask"), ("p00/3.jpg", "nonmask"), ("p02/0.jpg", "mask"))


def realigned(folder: Path, old: fs.FaceSet) -> fs.FaceSet:
    """Write the set again, three pixels lower, in reverse order and under other keys; without a
    face in LOST and without GONE.
    """
    rows, skipped = [], []
    for index, row in reversed(list(enumerate(old.table.to_pylist()))):
        names = {name: row[name] for name in ("source", "identity", "condition")}
        clean = row["clean_key"].replace("faces/", "faces/new_")
        photograph = row["source"], row["condition"]
        if photograph in GONE:
            continue
        if photograph in LOST:
            skipped.append({**names, "clean_key": clean, "reason": "no_face", "detail": ""})
            continue
        data = encode(np.roll(old.image(index), 3, axis=0))
        key = row["key"].replace("faces/", "faces/new_")
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)
        rows.append({**row, "key": key, "clean_key": clean, "digest": digest_of(data)})
    write_rows(folder, [(rows, skipped)], {"kit_version": "test"})
    return fs.FaceSet.open(folder)


@pytest.fixture
def sets(tmp_path) -> tuple[fs.FaceSet, fs.FaceSet]:
    old = write_faceset(tmp_path / "plain", people=8)
    return old, realigned(tmp_path / "robust", old)


def test_what_both_alignments_know_is_kept(sets) -> None:
    old, new, about = match(*sets)
    assert (len(old), len(new), about["photographs"]) == (61, 59, 61)
    assert (about["old"]["left_out"], about["new"]["left_out"]) == (3, 0)
    assert "p00/3.jpg" not in old.sources and {
        (row["source"], row["condition"]) for row in new.skipped
    } == set(LOST)
    back, forth, other = match(sets[1], sets[0])
    assert (len(back), len(forth)) == (59, 61) and (
        other["old"]["left_out"],
        other["new"]["left_out"],
    ) == (0, 3)


def test_sets_that_do_not_belong_together_are_refused(sets, tmp_path) -> None:
    old, new = sets
    with pytest.raises(KitError, match="no photograph of"):
        match(old.of_people(["p00"]), new.of_people(["p01"]))
    rows = new.table.to_pylist()
    table = new.table.from_pylist(
        [{**rows[0], "identity": "somebody"}, *rows[1:]], new.table.schema
    )
    other = fs.FaceSet(new.folder, table, new.skipped, new.about)
    with pytest.raises(
        KitError, match=rf"{rows[0]['source']} shows {rows[0]['identity']} in .* and somebody in"
    ):
        match(old, other)
    with pytest.raises(KitError, match="more than once"):
        match(old.select([0, 0, 1]), old)


@pytest.fixture
def evaluate(colour_models, tmp_path, sets, capsys):

    def call(*arguments: str) -> tuple[int, str]:
        flags = [
            "--data",
            str(tmp_path / "plain"),
            "--realigned",
            str(tmp_path / "robust"),
            "--resamples",
            "30",
            *arguments,
        ]
        code = cli.main(["evaluate", "teacher", "student", *flags])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return call


def test_two_by_two(evaluate, sets, tmp_path) -> None:
    """Each of the four is what the model does on that set's matched faces alone; all differences
    are to the teacher, old alignment.
    """
    code, text = evaluate(*FARS, "--out", str(tmp_path / "out"))
    assert code == 0, text
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    cells = [
        f"{model}, {which} alignment"
        for model in ("teacher", "student")
        for which in ("old", "new")
    ]
    masked = report["protocols"]["mask-nonmask"]
    assert list(masked["models"]) == cells and [model["name"] for model in report["models"]] == [
        "teacher",
        "student",
    ]
    assert (
        report["realigned"]["photographs"] == 61
        and "61 photographs, old alignment as in plain" in text
    )
    (drift,) = [
        row
        for row in report["realigned"]["drift"]
        if (row["model"], row["condition"]) == ("student", "nonmask")
    ]
    old, new = match(*sets)[:2]
    embedder, cosines = ColourEmbedder(upper=True), []
    for row in range(len(old)):
        there = np.flatnonzero((new.sources == old.sources[row]) & (new.conditions == "nonmask"))
        if old.conditions[row] == "nonmask" and len(there):
            pair = [old.image(row), new.image(int(there[0]))]
            a, b = embedder.embed(np.stack(pair)).astype(float)
            cosines.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert drift["photographs"] == len(cosines) > 20
    assert drift["mean"] == pytest.approx(np.mean(cosines), abs=1e-5)
    assert drift["low"] == pytest.approx(np.quantile(cosines, 0.05), abs=1e-5)
    assert f"unmasked: {drift['mean']:.3f} in the mean" in text
    for cell, one in zip(cells, match(*sets)[:2] * 2, strict=True):
        embedder = ColourEmbedder(upper=cell.startswith("student"))
        alone = evaluate_set(
            embedder.embed(np.stack([one.image(row) for row in range(len(one))])),
            one,
            fars=[0.4, 0.2],
        )
        mine, his = masked["models"][cell], alone["mask-nonmask"]
        assert [row["tar"] for row in mine["tar_at_far"]] == [
            row["tar"] for row in his["tar_at_far"]
        ]
        assert mine["comparisons"] == his["comparisons"] and mine["tar_at_far"][0]["interval"]
        assert (
            mine["comparisons"]["genuine"] == masked["models"][cells[0]]["comparisons"]["genuine"]
        )
        assert (mine["comparisons"]["genuine_not_found"] > 0) == ("new" in cell)
    rows = [row for row in masked["differences"] if row["far"] == 0.4]
    assert [(row["against"], row["model"]) for row in rows] == [
        (cells[0], cell) for cell in cells[1:]
    ]
    tars = {cell: result["tar_at_far"][0]["tar"] for cell, result in masked["models"].items()}
    assert all(
        row["tar_difference"] == tars[row["model"]] - tars[cells[0]] and row["interval"]
        for row in rows
    )
    assert len(set(tars.values())) > 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert sets[1].fingerprint in page and all(cell in page for cell in cells)
    with (tmp_path / "out" / "report.csv").open() as file:
        assert {row["model"] for row in csv.DictReader(file)} == set(cells)


def test_an_alignment_that_changes_nothing_differs_by_nothing(evaluate, tmp_path) -> None:
    code, text = evaluate(
        "--realigned", str(tmp_path / "plain"), *FARS, "--out", str(tmp_path / "out")
    )
    assert code == 0, text
    rows = json.loads((tmp_path / "out" / "report.json").read_text())["protocols"]["mask-nonmask"][
        "differences"
    ]
    same = [row for row in rows if row["model"] == "teacher, new alignment"]
    assert same and all(
        (row["tar_difference"], row["interval"]["low"], row["interval"]["high"]) == (0, 0, 0)
        for row in same
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--gallery", "other"], "--gallery knows one"),
        (["--protocol", "synthetic_mask"], "--protocol synthetic_mask knows one"),
        (["--bin", "lfw.bin"], "--bin knows one"),
        (["--people", "{list}"], "1 of 1 names match nothing"),
    ],
)
def test_what_cannot_be_asked_of_two_alignments(evaluate, tmp_path, flags, words) -> None:
    (tmp_path / "list").write_text("nobody\n")
    code, text = evaluate(*(flag.format(list=tmp_path / "list") for flag in flags))
    assert code == 2 and words in text


def test_embeddings_have_one_alignment(evaluate, tmp_path, capsys) -> None:
    np.save(tmp_path / "rows.npy", np.ones((64, 3), np.float32))
    flags = ["--data", str(tmp_path / "plain"), "--realigned", str(tmp_path / "robust")]
    assert cli.main(["evaluate", str(tmp_path / "rows.npy"), *flags]) == 2
    assert "--realigned: " in capsys.readouterr().err
    assert (
        cli.main(
            ["evaluate", "teacher", "--realigned", str(tmp_path / "robust"), "--bin", "lfw.bin"]
        )
        == 2
    )
