"""Shards that processes of several machines make, each started by a command of its own."""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mfr_kit import cli, leftovers, processes
from mfr_kit.augment import run as room
from mfr_kit.augment import workplace
from mfr_kit.augment.job import job_of
from mfr_kit.augment.options import AugmentOptions
from mfr_kit.augment.shards import make_shard
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from tests.conftest import files_of, head

ROOT = Path(__file__).resolve().parents[2]
SLURM = ROOT / "examples" / "augment_slurm.sh"


def write_crops(folder: Path, people: int = 4, takes: int = 3) -> Path:
    """Write aligned faces as photographs of people's folders."""
    for person in range(people):
        (folder / f"p{person}").mkdir(parents=True)
        for take in range(takes):
            path = folder / f"p{person}" / f"{take}.png"
            path.write_bytes(encode(head(person, take), ".png"))
    return folder


def make_whole(crops: Path, **options) -> dict[str, bytes]:
    """Make the set by one command and return its files."""
    target = crops.parent / "whole"
    room.augment(AugmentOptions(src=crops, dst=target, aligned=True, workers=0, **options))
    return files_of(target)


@pytest.mark.parametrize("form", ["folder", "rec"])
def test_a_command_a_shard_and_one_that_finishes_give_the_set_of_one_command(
    tmp_path, capsys, form
):
    crops = write_crops(tmp_path / "crops")
    whole = make_whole(crops, shards=3, format=form)
    command = ["augment", str(crops), str(tmp_path / "set"), "--aligned", "--workers", "0"]
    command += ["--shards", "3", "--format", form]
    for shard in ("2", "0"):
        assert cli.main([*command, "--shard", shard]) == 0
        assert f"shard {shard} of 3 is made" in capsys.readouterr().out
    assert not (tmp_path / "set").exists()
    assert cli.main([*command, "--shard", "2"]) == 0
    assert "0 photographs (and 6 by an earlier run)" in capsys.readouterr().out
    assert cli.main(command) == 0  # makes shard 1 too
    assert files_of(tmp_path / "set") == whole
    assert cli.main([*command, "--shard", "1"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert {item.name for item in tmp_path.iterdir()} == {"crops", "set", "whole"}


def test_src_is_looked_through_once(tmp_path, monkeypatch):
    crops = write_crops(tmp_path / "crops")
    looked = []
    real = workplace.survey
    monkeypatch.setattr(workplace, "survey", lambda *a, **k: looked.append(1) or real(*a, **k))
    for shard in range(2):
        options = AugmentOptions(
            src=crops, dst=tmp_path / "set", aligned=True, workers=0, shards=2, shard=shard
        )
        room.augment_shard(options)
    assert len(looked) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--shard", "2", "--shards", "2"], "the last one is 1"),
        (["--shard", "0", "--dry-run"], "contradict"),
        (["--shard", "0", "--shards", "9"], "only 4 people"),
    ],
)
def test_shards_that_cannot_be(tmp_path, capsys, flags, message):
    crops = write_crops(tmp_path / "crops")
    command = ["augment", str(crops), str(tmp_path / "set"), "--aligned", *flags]
    assert cli.main(command) == 2
    assert message in capsys.readouterr().err
    assert [item.name for item in tmp_path.iterdir()] == ["crops"]


needs_bash = pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")


@needs_bash
def test_the_slurm_example_has_no_error_of_syntax():
    subprocess.run(["bash", "-n", SLURM], check=True)


@pytest.mark.slow
@needs_bash
def test_the_slurm_example_makes_the_set_of_one_command(tmp_path):
    """A stand-in for sbatch runs what it is given: every task of an array at once, then the job
    that depends on it.
    """
    crops = write_crops(tmp_path / "crops")
    whole = make_whole(crops, shards=3)
    programs = tmp_path / "bin"
    programs.mkdir()
    scripts = {
        "mfr-kit": f'exec "{sys.executable}" "{ROOT / "kit.py"}" "$@"',
        "sbatch": """
            case "$1 $2" in
            "--parsable --array=0-2")
                shift 2; pids=()
                for task in 0 1 2; do
                    SLURM_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task bash "$@" >&2 & pids+=($!)
                done
                for pid in "${pids[@]}"; do wait "$pid"; done
                echo 7 ;;
            "--dependency=afterok:7 "*) shift; SLURM_JOB_ID=8 bash "$@" ;;
            *) exit 9 ;;
            esac
        """,
    }
    for name, text in scripts.items():
        (programs / name).write_text(f"#!/usr/bin/env bash\nset -e\n{text}\n")
        (programs / name).chmod(0o755)
    environment = {name: text for name, text in os.environ.items() if "SLURM" not in name}
    environment |= {"PATH": f"{programs}:{os.environ['PATH']}", "SHARDS": "3"}
    command = ["bash", SLURM, crops, tmp_path / "set", "--aligned"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert files_of(tmp_path / "set") == whole
    assert len(FaceSet.open(tmp_path / "set").clean()) == 12


def test_of_two_that_finish_together_one_makes_the_set(tmp_path, monkeypatch):
    crops = write_crops(tmp_path / "crops")
    whole = make_whole(crops)
    options = AugmentOptions(src=crops, dst=tmp_path / "set", aligned=True, workers=0)
    job = job_of(options)
    workplace.begin(job)
    make_shard(job, 0)
    real, ready, ends = workplace.write_rows, threading.Barrier(2), []

    def slowly(*given):
        ready.wait(30)
        time.sleep(0.3)  # the other comes as far as it may
        return real(*given)

    def finish():
        try:
            ends.append(workplace.finish(job)[0])
        except KitError as error:
            ends.append(str(error))

    monkeypatch.setattr(workplace, "write_rows", slowly)
    first = threading.Thread(target=finish)
    first.start()
    ready.wait(30)
    finish()
    first.join()
    counts, problem = ends
    assert counts["faces"] == 12 and f"{tmp_path / 'set'} exists already" in problem
    assert files_of(tmp_path / "set") == whole


def test_a_shard_of_a_set_that_another_has_finished_is_not_made_again(tmp_path):
    crops = write_crops(tmp_path / "crops")
    options = AugmentOptions(src=crops, dst=tmp_path / "set", aligned=True, workers=0)
    job = job_of(options)
    workplace.begin(job)
    make_shard(job, 0)
    workplace.finish(job)
    with pytest.raises(KitError, match="moved by another run that has finished it"):
        make_shard(job, 0)
    assert {item.name for item in tmp_path.iterdir()} == {"crops", "set"}


def test_a_set_has_nothing_of_an_end_that_was_cut_off(tmp_path, monkeypatch):
    crops = write_crops(tmp_path / "crops")
    options = AugmentOptions(src=crops, dst=tmp_path / "set", aligned=True, workers=0)
    job = job_of(options)
    workplace.begin(job)
    make_shard(job, 0)
    cut_off = leftovers.beside(job.target.building / "faceset.json")
    cut_off.write_bytes(b"{")
    monkeypatch.setattr(processes, "is_gone", lambda pid: True)
    workplace.finish(job)
    assert files_of(tmp_path / "set") == make_whole(crops)
