"""fp16 with a scaled loss, on torch's CPU kernels of half precision."""

import pytest
import torch

from mfr_kit.errors import KitError
from mfr_kit.training import scaling
from mfr_kit.training.ranks import Ranks
from tests.training import same_steps
from tests.training.same_steps import Case


@pytest.fixture
def bank(tmp_path):
    return same_steps.make_bank(tmp_path)


def moves(found) -> torch.Tensor:
    """Join how all weights have moved."""
    return torch.cat([value.flatten() for value in found["moved"].values()])


@pytest.mark.parametrize("method", ["coupleface", "arcface"])
def test_weights_move_as_in_full_precision(bank, method):
    full, half = (
        same_steps.run(
            Case(method, precision=precision, scale=1024 if precision == "fp16" else None),
            bank,
            Ranks(),
        )
        for precision in ("float32", "fp16")
    )
    cosine = torch.cosine_similarity(moves(full), moves(half), dim=0)
    assert cosine > 0.999 and not torch.equal(moves(full), moves(half))
    for one, other in zip(full["lines"], half["lines"], strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-2)
        assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=3e-2)
        assert other["loss_scale"] == 1024 and "loss_scale" not in one


def test_a_step_that_overflows_is_left_out_and_the_scale_halved(bank):
    huge = 2.0**24
    found = same_steps.run(Case("coupleface", precision="fp16", scale=huge), bank, Ranks())
    scales = [line["loss_scale"] for line in found["lines"]]
    left_out = ["grad_norm" not in line for line in found["lines"]]
    assert left_out[0]
    assert scales[0] == huge / 2
    # nothing had moved
    assert found["lines"][1]["loss"] == pytest.approx(found["lines"][0]["loss"], abs=0.1)
    assert torch.isfinite(moves(found)).all()


def test_overflow_at_any_scale_is_refused():
    scaler = torch.amp.GradScaler("cpu", init_scale=scaling.LEAST / 2)
    scaler.scale(torch.zeros(1))
    with pytest.raises(KitError, match=r"fp16.*step 7.*--learning-rate.*bf16"):
        scaling.refuse_endless(scaler, 7)


def test_no_scaler_changes_nothing():
    weight = torch.nn.Parameter(torch.ones(2))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    scaler = scaling.no_scaler()
    scaler.scale(weight.sum()).backward()
    scaler.unscale_(optimiser)
    scaler.step(optimiser)
    scaler.update()
    assert weight.tolist() == [0, 0] and scaler.state_dict() == {}
