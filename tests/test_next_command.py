"""The command that comes next: real paths, nothing that is there already, nothing where it would be
noise.
"""

import shlex

import pytest

from mfr_kit import cli, console
from mfr_kit.augment.options import AugmentOptions
from mfr_kit.cli import (
    _next,
    augment,
    check,
    distill,
    evaluate,
    export_onnx,
    make_submission,
    watch,
)
from mfr_kit.errors import Stopped
from mfr_kit.evaluation.options import EvaluateOptions
from mfr_kit.submission.options import CheckOptions, ExportOptions, SubmissionOptions
from mfr_kit.training.options import distill_options
from mfr_kit.training.watch import WatchOptions
from tests.conftest import write_faceset


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def next_line(text):
    (line,) = (line for line in text.splitlines() if line.startswith("next: "))
    return line


def test_split_leads_to_distill_with_its_lists(here, capsys):
    write_faceset(here / "my faces", people=40, takes=2)
    assert cli.main(["split", "my faces", "lists"]) == 0
    words = shlex.split(next_line(capsys.readouterr().err))
    assert words[:4] == ["next:", "python", "kit.py", "distill"]
    given = dict(zip(words[4::2], words[5::2], strict=True))
    assert given["--data"] == "my faces" and given["--val-people"] == "lists/val.txt"
    assert (here / given["--config"]).is_file() and (here / given["--holdout-people"]).is_file()
    assert given["--out"] == "runs/sface"
    (here / "runs" / "sface").mkdir(parents=True)
    assert "--out runs/sface-2" in shlex.join(_next.distill(here / "my faces", here / "lists"))


def test_quiet_and_commands_inside_a_command_give_no_advice(here, capsys):
    write_faceset(here / "set", people=40, takes=2)
    assert cli.main(["--quiet", "split", "set", "a"]) == 0
    with console.opened(console.OutputFlags(advice=False)):
        assert cli.main(["split", "set", "b"]) == 0
    assert cli.main(["split", "set", "a"]) == 2  # nor does what failed
    assert "next:" not in capsys.readouterr().err


def test_the_chain_from_photographs_to_a_package(here):
    (here / "run").mkdir()
    (here / "model.onnx").touch()
    made = AugmentOptions(src=here / "photos", dst=here / "faces")
    assert augment._then(made) == ["split", f"{here}/faces", f"{here}/lists"]
    trained = distill_options()(data=here / "faces", out=here / "run", holdout_people=[here / "h"])
    assert distill._then(trained)[:4] == ["evaluate", trained.teacher, f"{here}/run", "--data"]
    alone = distill_options()(data=here / "faces", out=here / "run")
    assert distill._then(alone)[:2] == ["export-onnx", f"{here}/run"]
    measured = EvaluateOptions(models=["sface", "run"], data=here / "faces", out=here / "report")
    assert evaluate._then(measured)[1:] == [
        *("run", "--out", "model-2.onnx", "--report", f"{here}/report/report.json")
    ]
    assert evaluate._then(EvaluateOptions(models=["sface"], data=here / "faces")) is None
    written = export_onnx._then(ExportOptions(run=here / "run"))
    assert written[:2] == ["check", f"{here}/run/model.onnx"]
    track = written[written.index("--track") + 1]
    held = CheckOptions(model=here / "model.onnx", track=track, run=here / "run")
    assert check._then(held)[-2:] == ["--out", "submission.zip"]
    packed = SubmissionOptions(model=here / "model.onnx", track=track, out=here / "s.zip")
    assert make_submission._then(packed) == ["verify", f"{here}/s.zip"]
    assert watch._then(WatchOptions(run=here / "run"))[-1] == "--follow"


def test_json_is_followed_by_nothing(here, capsys):
    assert cli.main(["check", "none.onnx", "--track", "unconstrained", "--json"]) == 2
    assert "next:" not in capsys.readouterr().err


def test_a_stopped_command_inside_another_leaves_the_way_on_to_that_one(capsys):
    cli._tell(Stopped("stopped after step 3"), ["distill", "--data", "a b"])
    with console.opened(console.OutputFlags(advice=False)):
        cli._tell(Stopped("stopped after step 3"), ["distill", "--data", "a b"])
    alone, inside = capsys.readouterr().err.splitlines()
    assert alone.endswith("To go on: `python kit.py distill --data 'a b'`")
    assert inside == "stopped after step 3"
