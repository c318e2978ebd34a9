"""Ranks that nobody watches, as srun starts them: what one of them meets ends all."""

import pytest

from mfr_kit import options as flags
from mfr_kit.models import weights
from tests.training.start_ranks import start_ranks

IN_COLLECTIVE = """
import os, sys, torch, torch.distributed as dist
from mfr_kit import cli
from mfr_kit.errors import KitError
from mfr_kit.training import rank_errors, ranks

def work(*_):
    own = ranks.join(torch.device("cpu"))
    with rank_errors.shared(own):
        {body}
    print("done", own.rank)

class App:
    def __call__(self, **_):
        work()

cli.build_app = App
sys.exit(cli.main([]))
"""

AT_A_STEP = """
import sys
from mfr_kit import cli
from mfr_kit.errors import KitError
from mfr_kit.training.step import Stepper

own = Stepper.step

def step(self, state, feeds, measured):
    if self.ranks.rank == 1 and state.step == 2:
        raise KitError("face 7 is damaged")
    return own(self, state, feeds, measured)

Stepper.step = step
sys.exit(cli.main(["distill", "--config", {config!r}]))
"""


@pytest.mark.parametrize("failing", [0, 2])
def test_who_waits_in_a_collective_ends_with_the_line_of_who_failed(failing):
    body = f"""
        if own.rank == {failing}:
            raise KitError("face 7 is damaged")
        own.wait()
"""
    found = start_ranks(IN_COLLECTIVE.format(body=body), 3)
    assert [code for code, _ in found] == [2, 2, 2]
    assert "error: face 7 is damaged" in found[failing][1]
    assert ("error: rank 2: face 7 is damaged" in found[0][1]) == (failing == 2)
    assert not any("Traceback" in text for _, text in found)


def test_what_all_meet_is_said_once():
    found = start_ranks(IN_COLLECTIVE.format(body='raise KitError("no such set")'), 3)
    assert [code for code, _ in found] == [2, 2, 2]
    assert "".join(text for _, text in found).count("no such set") == 1


def test_a_bug_keeps_its_traceback_and_ends_the_others():
    body = """
        if own.rank == 1:
            [][1]
        own.wait()
"""
    (first, told), (second, trace), _ = start_ranks(IN_COLLECTIVE.format(body=body), 3)
    assert (first, second) == (2, 1)
    assert "error: rank 1: IndexError: list index out of range" in told
    assert "[][1]" in trace or "IndexError" in trace


def test_ranks_that_fail_in_nothing_end_as_always():
    body = "own.wait()"
    assert [code for code, _ in start_ranks(IN_COLLECTIVE.format(body=body), 2)] == [0, 0]


@pytest.mark.slow
def test_distill_ends_with_the_line_of_the_rank_that_failed(make_options, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text(weights.to_toml(flags.as_dict(make_options(batch_size=4))))
    first, second = start_ranks(AT_A_STEP.format(config=str(config)), 2)
    assert first[0] == second[0] == 2
    assert "error: rank 1: face 7 is damaged" in first[1]
    assert "error: face 7 is damaged" in second[1]
