import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mfr_kit import options as flags
from mfr_kit.models import weights
from mfr_kit.training.distill import distill
from tests.training.start_ranks import start_ranks

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["coupleface", "rkd"])
def test_two_ranks_give_what_one_rank_with_the_doubled_batch_gives(make_options, tmp_path, method):
    # rkd compares the samples of a batch, coupleface divides by its active relations: neither is a
    # mean over samples SGD: Adam's first steps are the signs of the gradients, and where those are
    # next to nothing, rounding decides.
    common = {
        "freeze_bn": True,
        "log_every": 1,
        "method": method,
        "steps": 3,
        "optimiser": "sgd",
        "learning_rate": 0.001,
    }
    one = make_options(out=tmp_path / "one", bank=tmp_path / "bank", batch_size=8, **common)
    distill(one)
    two = replace(one, out=tmp_path / "two", batch_size=4)
    config = tmp_path / "two.toml"
    config.write_text(weights.to_toml(flags.as_dict(two)))
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(ROOT / "kit.py"),
    ]
    done = subprocess.run(
        [*command, "distill", "--config", str(config)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    curves = [
        [json.loads(line)["loss"] for line in (run.out / "metrics.jsonl").read_text().splitlines()]
        for run in (one, two)
    ]
    assert len(curves[0]) == 3
    # The first loss is summed in another order, no more; every step after it starts from weights
    # that rounding has moved, and rkd's angles between samples that the small student can hardly
    # tell apart multiply that about thirtyfold a step, later a thousandfold.
    assert curves[1][0] == pytest.approx(curves[0][0], rel=1e-6)
    assert curves[1] == pytest.approx(curves[0], rel=1e-4)
    first, second = (weights.read_state(run.out / "student.pt") for run in (one, two))
    for key, value in first.items():
        torch.testing.assert_close(second[key], value, atol=2e-3, rtol=1e-2)


KILLED = """
import os, sys
from mfr_kit import cli
from mfr_kit.training.step import Stepper

own = Stepper.step

def step(self, state, feeds, measured):
    if state.step == {stop}:
        os._exit(9)
    return own(self, state, feeds, measured)

Stepper.step = step
sys.exit(cli.main(["distill", "--config", {config!r}]))
"""


@pytest.mark.slow
def test_a_run_goes_on_with_any_number_of_ranks(make_options, tmp_path):
    common = {
        "method": "arcface",  # whose head each rank holds a share of
        "head": "sharded",
        "negatives": 0.3,
        "bank": tmp_path / "bank",
        "freeze_bn": True,
        "log_every": 1,
        "optimiser": "sgd",
        "learning_rate": 0.001,
        "steps": 7,
        "save_every": 1,
    }
    whole = make_options(out=tmp_path / "whole", batch_size=8, **common)
    distill(whole)
    killed = replace(whole, out=tmp_path / "killed", resume=True)
    for world, stop in ((1, 1), (4, 3), (2, 5), (1, 7)):
        config = tmp_path / f"{stop}.toml"
        divided = replace(killed, batch_size=8 // world)
        config.write_text(weights.to_toml(flags.as_dict(divided)))
        script = KILLED.format(stop=stop, config=str(config))
        found = start_ranks(script, world)
        assert {code for code, _ in found} <= ({9} if stop < 7 else {0}), found
    losses, steps = (
        [
            [json.loads(line)[name] for line in (run / "metrics.jsonl").read_text().splitlines()]
            for run in (whole.out, killed.out)
        ]
        for name in ("loss", "step")
    )
    assert steps[1] == steps[0] == list(range(1, 8))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    first, second = (weights.read_state(run / "student.pt") for run in (whole.out, killed.out))
    for key, value in first.items():
        torch.testing.assert_close(second[key], value, atol=2e-3, rtol=1e-2)
