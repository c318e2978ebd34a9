"""torchrun starts the ranks again when one of them is killed, and the run ends as if none had."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mfr_kit import options as flags
from mfr_kit.models import weights

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("MFR_KIT_KILLS", "2"))  # 20 take two minutes and more
CHANGES = [{"method": "arcface", "head": "sharded"}, {}][: 1 + ("MFR_KIT_KILLS" in os.environ)]
SLOWLY = """
import sys, time
from mfr_kit import cli
from mfr_kit.training.step import Stepper

own = Stepper.step

def step(self, *given):
    time.sleep(0.1)
    return own(self, *given)

Stepper.step = step
sys.exit(cli.main(sys.argv[1:]))
"""


def start(config: Path, script: Path, restarts: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [
        "--nproc-per-node",
        "2",
        "--max-restarts",
        str(restarts),
        "--monitor-interval",
        "0.1",
    ]
    return subprocess.Popen(
        [*command, str(script), "distill", "--config", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=config.with_suffix(".err").open("w"),
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )


def said_in(folder: Path) -> str:
    """The end of what torchrun and the ranks have said."""
    return folder.with_suffix(".err").read_text()[-3000:]


def ranks_of(agent: int) -> list[int]:
    """Process numbers of torchrun's ranks."""
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    return [int(child) for child in children]


def steps_in(folder: Path) -> int:
    """Lines that a run has written."""
    path = folder / weights.METRICS
    return len(path.read_text().splitlines()) if path.is_file() else 0


def lines(folder: Path) -> list[dict]:
    """What a run has logged."""
    return [json.loads(line) for line in (folder / weights.METRICS).read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.skipif(sys.platform != "linux", reason="finds the ranks in /proc")
def test_ranks_that_are_killed_at_random_end_like_those_that_are_not(
    make_options, tmp_path, changes
):
    script = tmp_path / "slowly.py"
    script.write_text(SLOWLY)
    usual = {"steps": 4 * KILLS, "save_every": 1, "log_every": 1, "batch_size": 4, **changes}
    whole = make_options(out=tmp_path / "whole", bank=tmp_path / "bank", **usual)
    killed = replace(whole, out=tmp_path / "killed")
    for run in (whole, killed):
        run.out.with_suffix(".toml").write_text(weights.to_toml(flags.as_dict(run)))
    undisturbed = start(whole.out.with_suffix(".toml"), script, 0)
    assert undisturbed.wait(300) == 0, said_in(whole.out)
    agent = start(killed.out.with_suffix(".toml"), script, KILLS)
    rng = random.Random(os.getpid())
    done = 0
    for _ in range(KILLS):
        # some way on, so that there is something to lose
        wanted = min(steps_in(killed.out) + rng.randint(1, 3), usual["steps"] - 2)
        while agent.poll() is None and (
            steps_in(killed.out) < wanted or len(ranks_of(agent.pid)) < 2
        ):
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.2))
        if agent.poll() is None:
            os.kill(rng.choice(ranks_of(agent.pid)), signal.SIGKILL)
            done += 1
            time.sleep(0.5)
    assert agent.wait(600) == 0, said_in(killed.out)
    assert done == KILLS
    one, other = lines(whole.out), lines(killed.out)
    for key in ("step", "loss", "grad_norm"):
        assert [line[key] for line in other] == [line[key] for line in one], key
    first, second = (weights.read_state(run.out / "student.pt") for run in (whole, killed))
    assert all(torch.equal(value, second[key]) for key, value in first.items())
