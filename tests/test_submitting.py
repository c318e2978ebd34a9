"""The commands of docs/guides/submitting.md and deploying.md are run as they stand there, from
photographs and from an InsightFace .rec, to accepted zips and to files that carry thresholds.
"""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

import mfr_kit as mk
from mfr_kit import assets, cli
from mfr_kit.data.face_set.faceset import FaceSet

from .conftest import write_faceset
from .test_readme import SHORTER, run_commands

DOCUMENT = "docs/guides/submitting.md"
# until the batch norms have seen some faces a student gives all of them nearly one embedding, whose
# cosines are equal to the last digit
LONG_ENOUGH = {**SHORTER, "distill": ["--steps", "40", "--batch-size", "4", "--workers", "0"]}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """What the reader has: photos/, holdout.txt, and ms1m-retinaface-t1/ with train.rec,
    train.idx and property.
    """
    folder = tmp_path_factory.mktemp("submitter")
    people = [f"s{number}" for number in range(1, 13)]
    (folder / "holdout.txt").write_text("\n".join(people[4:]), encoding="utf-8")
    for person in people:
        (folder / "photos" / person).mkdir(parents=True)
        for take in (1, 2, 3, 4):
            shutil.copy(
                assets.path("orl-faces") / person / f"{take}.pgm", folder / "photos" / person
            )
    write_faceset(folder / "drawn", people=5, takes=4, twins=False)
    assert (
        cli.main(
            ["convert", str(folder / "drawn"), str(folder / "ms1m-retinaface-t1" / "train.rec")]
        )
        == 0
    )
    (folder / "ms1m-retinaface-t1" / "train.people.txt").unlink()  # the download has numbers only
    return folder


@pytest.mark.slow
def test_the_commands_lead_to_accepted_zips(workplace, monkeypatch, capfd):
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("COLUMNS", "200")
    ran = run_commands(DOCUMENT, LONG_ENOUGH, capfd)
    wanted = {
        "tracks",
        "budget",
        "augment",
        "convert",
        "distill",
        "export-onnx",
        "check",
        "evaluate",
        "make-submission",
        "verify",
    }
    assert wanted <= set(ran)
    taken = FaceSet.open(workplace / "ms1mv3")
    # records, not a file a face
    assert len(taken) == 20 and not (workplace / "ms1mv3" / "faces").exists()
    for name, trained_on, people in (("submission.zip", "faces", 4), ("ms1m.zip", "ms1mv3", 5)):
        with zipfile.ZipFile(workplace / name) as archive:
            told = json.loads(archive.read("manifest.json"))
            assert {"model.onnx", "rerun/config.toml", "rerun/COMMANDS.txt"} <= set(
                archive.namelist()
            )
        (own,) = told["lineage"]["training_sets"]
        assert (told["lineage"]["teacher"] is None) == (told["track"]["name"] == "ms1m")
        assert (own["name"], own["people"]) == (trained_on, people)
        assert {row["verdict"] for row in told["rules"]} <= {"pass", "advisory"}
    assert (workplace / "runs/x/model.int8.onnx").stat().st_size < (
        workplace / "runs/x/model.onnx"
    ).stat().st_size / 2
    rows = np.fromfile(workplace / "full.features.bin", "<i4", 4)
    assert rows[0] == len(FaceSet.open(workplace / "faces"))
    # what is exported is deployed; drawn from so few people only a high rate can be claimed
    run_commands("docs/guides/deploying.md", {**SHORTER, "evaluate": ["--far", "0.3"]}, capfd)
    point = mk.operating_point(workplace / "runs/x/model.onnx", far=0.3)
    assert point.set_name == "faces" and 0 < point.tar <= 1
    assert "s5" not in (workplace / "runs/x/MODEL_CARD.md").read_text(encoding="utf-8")
