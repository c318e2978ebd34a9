"""One, two and four ranks with the same batch give the same losses and the same weights, whatever
the method: every file of losses/ is tried.
"""

import pytest
import torch

from tests.training import same_steps
from tests.training.same_steps import CASES, STEPS
from tests.training.start_ranks import spawn_ranks


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """By world size, what each rank found in every case."""
    folder = str(tmp_path_factory.mktemp("ranks"))
    same_steps.work(0, 1, folder)
    for world in (2, 4):
        spawn_ranks(same_steps.work, (world, folder), world)
    return {
        world: [torch.load(f"{folder}/{world}-{rank}/found.pt") for rank in range(world)]
        for world in (1, 2, 4)
    }


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("world", [2, 4])
def test_ranks_give_what_one_rank_gives_with_their_batches_joined(found, world, case):
    alone = found[1][0][case]
    assert len(alone["lines"]) == STEPS
    assert max(value.abs().max() for value in alone["moved"].values()) > 1e-3
    for rank in found[world]:
        torch.testing.assert_close(rank[case]["lines"], alone["lines"], rtol=2e-5, atol=1e-6)
        torch.testing.assert_close(rank[case]["moved"], alone["moved"], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "whole"),
    [
        ("a sharded head", "arcface"),
        ("a sharded head of norms", "a head and two batches"),
        ("a sharded head beside relations", "its whole head"),
        ("shared prototypes", "kd"),
    ],
)
@pytest.mark.parametrize("world", [1, 2, 4])
def test_a_sharded_head_gives_what_a_whole_one_gives(found, world, case, whole):
    """The norm of all gradients is among the lines."""
    alone = found[1][0][whole]
    for rank in found[world]:
        torch.testing.assert_close(rank[case]["lines"], alone["lines"], rtol=2e-5, atol=1e-6)
        torch.testing.assert_close(rank[case]["moved"], alone["moved"], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 4])
def test_the_ranks_hold_the_same_weights_to_the_bit(found, world):
    first, *others = found[world]
    for rank in others:
        for case, result in rank.items():
            for key, value in result["moved"].items():
                assert torch.equal(value, first[case]["moved"][key]), (case, key)
