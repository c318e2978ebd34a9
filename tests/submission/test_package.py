import json
import os
import subprocess
import zipfile

import pytest

from mfr_kit import assets
from mfr_kit.cli import main
from mfr_kit.errors import RuleError
from mfr_kit.submission import package
from mfr_kit.submission.options import SubmissionOptions

from . import organisers, spoiled


def pack(model, out, track="ms1m", **more):
    return package.make_submission(SubmissionOptions(model=model, track=track, out=out, **more))


def test_the_organisers_accept_what_is_packed(run, tmp_path):
    pack(run / "model.onnx", tmp_path / "s.zip", run=run)
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        archive.extractall(tmp_path / "theirs")
    assert (tmp_path / "theirs" / "model.onnx").read_bytes() == (run / "model.onnx").read_bytes()
    assert organisers.judge(tmp_path / "theirs") is None


def test_manifest(run, tmp_path):
    pack(run / "model.onnx", tmp_path / "s.zip", run=run)
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        told = json.loads(archive.read("manifest.json"))
        assert set(told["files"]) == set(archive.namelist()) - {"manifest.json"}
        assert "kit.py distill" in archive.read("rerun/COMMANDS.txt").decode()
    assert (
        told["model"]["sha256"]
        == assets.sha256_of(run / "model.onnx")
        == told["files"]["model.onnx"]
    )
    assert (
        told["track"]["name"] == "ms1m" and told["lineage"]["training_sets"][0]["name"] == "MS1M-V3"
    )
    assert {row["verdict"] for row in told["rules"]} == {"pass"}
    assert next(row for row in told["rules"] if row["rule"] == "embedding size")["margin"] == "448"


def test_same_inputs_same_bytes_whenever_and_wherever(run, tmp_path):
    pack(run / "model.onnx", tmp_path / "a" / "s.zip", run=run)
    os.utime(run / "model.onnx", (1, 1))
    pack(run / "model.onnx", tmp_path / "b" / "s.zip", run=run)
    assert (tmp_path / "a" / "s.zip").read_bytes() == (tmp_path / "b" / "s.zip").read_bytes()


def test_what_check_fails_is_refused_with_all_reasons(run, tmp_path, capsys):
    spoiled.two_outputs(run / "model.onnx", tmp_path)
    spoiled.float16_weights(tmp_path / "model.onnx", tmp_path)
    with pytest.raises(RuleError, match=r"(?s)one output.*weight type|weight type.*one output"):
        pack(tmp_path / "model.onnx", tmp_path / "s.zip")
    assert (
        main(
            [
                "make-submission",
                str(tmp_path / "model.onnx"),
                "--track",
                "ms1m",
                "--out",
                str(tmp_path / "s.zip"),
            ]
        )
        == 3
    )
    assert not (tmp_path / "s.zip").exists() and "weight type" in capsys.readouterr().err


def test_side_files_of_cfat(run, tmp_path):
    pack(run / "model.onnx", tmp_path / "s.zip", "cfat")
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert archive.read("pixel_norm.txt").decode().splitlines() == ["127.5", "127.5"]
        assert len(archive.read("crop.txt").decode().splitlines()) == 6


def test_a_features_track_sends_features(run, drawn_set, tmp_path):
    pack(run / "model.onnx", tmp_path / "s.zip", "lfr2019", features=drawn_set.folder)
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert sorted(archive.namelist()) == ["features.bin", "manifest.json"]
        assert archive.read("features.bin") == (tmp_path / "s.features.bin").read_bytes()


def test_other_programs_can_read_the_zip(run, tmp_path):
    pack(run / "model.onnx", tmp_path / "s.zip")
    listed = subprocess.run(
        ["python3", "-m", "zipfile", "-t", tmp_path / "s.zip"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Done testing" in listed.stdout
