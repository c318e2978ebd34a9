"""What `rerun/` of a package holds is enough: commands without a placeholder, lists that can be
turned into names again, and nothing of a stranger's that is not an option of the kit.
"""

import dataclasses
import json
import shlex
import zipfile

import pytest

from mfr_kit.augment.options import AugmentOptions
from mfr_kit.cli import main
from mfr_kit.data import lists
from mfr_kit.errors import KitError
from mfr_kit.models import trained_people, weights
from mfr_kit.submission import rerun, rerun_job
from tests.conftest import write_faceset

from .conftest import MS1M_LINEAGE, write_run

PEOPLE = ["p00", "p01", "p03", "p04"]


@pytest.fixture
def trained(tmp_path):
    """A run on a face set made of photographs, with lists of people."""
    faces = write_faceset(tmp_path / "my faces", people=6)
    options = {
        "aligned": False,
        "alignment": "robust",
        "ratio": 1.0,
        "seed": 7,
        "masks": ["a", "b"],
    }
    options = dict.fromkeys(rerun.AUGMENT) | options
    about = {"source": "photos", "options": options, "counts": faces.counts}
    (faces.folder / "faceset.json").write_text(json.dumps(about))
    train = faces.of_people(PEOPLE).clean()
    sets = [{"name": "faces", "fingerprint": train.fingerprint, "faces": len(train), "people": 4}]
    folder = write_run(
        tmp_path / "run", MS1M_LINEAGE | {"training_sets": sets}, data=str(faces.folder),
        method="coupleface", learning_rate=0.01, bank="/my/disk/bank", workers=5, out="/my/disk",
    )  # fmt: skip
    lists.write_names(folder / trained_people.TRAINED, PEOPLE)
    lists.write_names(folder / "val_people.txt", ["p05"])
    lists.write_names(tmp_path / "held.txt", ["p02"])
    return folder


def test_every_option_that_decides_a_face_set_is_packed() -> None:
    """But a detector's file of one's own, and where the detector runs."""
    fields = dataclasses.fields(AugmentOptions)
    decisive = {field.name for field in fields if field.metadata["affects"] == "result"}
    assert set(rerun.AUGMENT) == decisive - {"detector_model", "device"}


def report(tmp_path) -> dict:
    return {"options": {"people": str(tmp_path / "held.txt"), "far": [0.01, 0.1]}}


def packed(trained, tmp_path, form="salted") -> dict[str, bytes]:
    contents, _ = rerun.pack(trained, "ms1m", "s.zip", form, report(tmp_path))
    return {
        name: value if isinstance(value, bytes) else value.read_bytes()
        for name, value in contents.items()
    }


def test_the_commands_are_the_whole_chain_and_leave_nothing_open(trained, tmp_path) -> None:
    found = packed(trained, tmp_path)
    lines = found["rerun/COMMANDS.txt"].decode().splitlines()
    commands = [shlex.split(line) for line in lines if line and not line.startswith("#")]
    assert [command[2] for command in commands] == [
        "verify", "augment", "distill", "evaluate", "export-onnx", "check", "make-submission",
    ]  # fmt: skip
    text = "\n".join(lines)
    assert "RUN" not in text and "/my/disk" not in text and str(tmp_path) not in text
    augment = " ".join(commands[1])
    assert "--no-aligned" in augment and "--alignment=robust --" in augment + " --"
    assert "--masks=a --masks=b" in augment and "--ratio=1.0" in augment and "--seed=7" in augment
    assert commands[3][3:5] == ["run", "--data"] and commands[3][6:8] == [
        "--people", "rerun/measured.txt",
    ]  # fmt: skip
    assert commands[3][8:] == ["--far=0.01", "--far=0.1", "--out", "report"]
    config = found["rerun/config.toml"].decode()
    assert "learning_rate = 0.01" in config and "coupleface" in config
    assert "bank" not in config and "workers" not in config and "data" not in config
    assert b"p00" not in b"".join(found.values()), "salted lists name nobody"


@pytest.mark.parametrize("form", ["salted", "plain"])
def test_lists_become_names_again_on_the_same_photographs(trained, tmp_path, form) -> None:
    found = packed(trained, tmp_path, form)
    steps = rerun.read_steps(found["rerun/steps.json"], found["rerun/config.toml"], "here")
    assert {kind: group["people"] for kind, group in steps.people.items()} == {
        "train": 4, "val": 1, "measured": 1,
    }  # fmt: skip
    if form == "plain":
        assert found["rerun/train.txt"].decode().split() == PEOPLE
        return
    faces = write_faceset(tmp_path / "again", people=6)
    assert rerun.names_of(steps.people["train"], faces, "here") == PEOPLE
    fewer = write_faceset(tmp_path / "fewer", people=4)
    with pytest.raises(KitError, match="3 of the 4 people of here are among"):
        rerun.names_of(steps.people["train"], fewer, "here")


def test_what_cannot_be_packed_is_said(trained, tmp_path) -> None:
    (tmp_path / "held.txt").unlink()
    config = (trained / weights.CONFIG).read_text().replace(str(tmp_path / "my faces"), "/nowhere")
    teacher = tmp_path / "teacher.onnx"
    teacher.write_bytes(b"")
    (trained / weights.CONFIG).write_text(f'{config}\nteacher = "{teacher}"\n')
    _, missing = rerun.pack(trained, "ms1m", "s.zip", "salted", report(tmp_path))
    text = "\n".join(missing)
    assert "/nowhere is not there" in text and "held.txt, is not there" in text
    assert f"--teacher {teacher} is a file of yours" in text
    _, missing = rerun.pack(trained, "ms1m", "s.zip", "none", None)
    assert "the lists of people are left out" in "\n".join(missing)


def edit(found: dict[str, bytes], **changes) -> bytes:
    return json.dumps(json.loads(found["rerun/steps.json"]) | changes).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"augment": {"detector": 5}},
        {"augment": {"seed": "1 --out /etc"}},
        {"fars": ["--out=/etc"]},
        {"package": "../s.zip"},
        {"package": "--out.zip"},
        {"track": "../../x"},
        {"people": {"holdout; rm": {}}},
        {"schema": "mfr-kit/rerun/9"},
    ],
)
def test_a_strangers_steps_are_options_of_the_kit_or_refused(trained, tmp_path, changes) -> None:
    found = packed(trained, tmp_path)
    with pytest.raises(KitError, match=r"steps\.json"):
        rerun.read_steps(edit(found, **changes), found["rerun/config.toml"], "steps.json")


def test_a_strangers_config_is_read_as_options(trained, tmp_path) -> None:
    found = packed(trained, tmp_path)
    for config in (b"learning_rate = 'x'", b"callback = 'os.system'", b"\xff\xfe", b"[["):
        with pytest.raises(KitError):
            rerun.read_steps(found["rerun/steps.json"], config, "here")


def test_verify_starts_the_steps_in_order_and_goes_on(trained, tmp_path, monkeypatch) -> None:
    """With commands that only leave their files: each once, those that are done not again."""
    package, out, ran = tmp_path / "s.zip", tmp_path / "out", []
    contents = packed(trained, tmp_path)
    with zipfile.ZipFile(package, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    (tmp_path / "photos").mkdir()
    steps = rerun.read_steps(contents["rerun/steps.json"], contents["rerun/config.toml"], "here")

    def do(call, cwd, check, env):
        command = call[3:]
        ran.append(command[0])
        anew = ("evaluate", "export-onnx", "make-submission")  # a killed call may have left it
        assert ("--force" in command) == (command[0] in anew)
        code = 2 if ran.count("evaluate") == 1 and command[0] == "evaluate" else 0
        if command[0] == "augment":
            assert command[1:3] == [str(tmp_path / "photos"), "faces"] and cwd == out
            assert command[3:] == rerun.flags_of(steps.augment)
            write_faceset(out / "faces", people=6)
        if command[0] == "distill":
            assert (out / "rerun" / "train.txt").read_text().split() == PEOPLE
            (out / "run").mkdir()
            (out / "run" / "student.pt").write_bytes(b"")
        return type("Done", (), {"returncode": code})

    monkeypatch.setattr(rerun_job.subprocess, "run", do)
    with pytest.raises(KitError, match=r"evaluate. ended with exit code 2"):
        rerun_job.run(package, tmp_path / "photos", out)
    assert ran == ["augment", "distill", "evaluate"]
    (row,) = rerun_job.run(package, tmp_path / "photos", out)
    assert ran[3:] == ["evaluate", "export-onnx", "check", "make-submission"]
    assert row.rule == "rerun: faces trained on" and row.found == "equal"


def test_the_command_line_refuses_what_it_cannot_repeat(trained, tmp_path, capsys) -> None:
    package = tmp_path / "s.zip"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("manifest.json", "{}")
    assert main(["verify", str(package), "--out", str(tmp_path / "x")]) == 2
    assert "--out is where --rerun works" in capsys.readouterr().err
    with pytest.raises(KitError, match=r"holds no rerun/steps\.json"):
        rerun_job.run(package, tmp_path, tmp_path / "out")
    with pytest.raises(KitError, match="no such folder of photographs"):
        rerun_job.run(package, tmp_path / "nothing", tmp_path / "out")
