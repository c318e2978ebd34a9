import itertools

import pytest
import torch
from torch import nn

from mfr_kit.errors import KitError
from mfr_kit.models.weights import build_backbone
from mfr_kit.training import optimise


def make_optimiser(model, others, options):
    return optimise.make_optimiser(model, others, options.descent, options.layers)


@pytest.mark.parametrize("name", ["cosine", "step", "polynomial", "constant"])
def test_schedules_rise_then_never_rise_again(name):
    factors = [optimise.schedule(name, step, 100, 0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert all(later <= earlier for earlier, later in itertools.pairwise(factors[10:]))
    assert factors[10] == 1 and (factors[-1] < 0.01 or name == "constant")
    assert min(factors) > 0


def test_without_warm_up_the_first_step_is_the_highest():
    assert optimise.schedule("cosine", 0, 10, 0.0) == 1


def test_every_parameter_is_in_one_group_and_only_filters_decay(make_options):
    model, head = build_backbone("mobilefacenet", 16, 0.125), nn.Linear(4, 4)
    options = make_options(layer_decay=0.8, weight_decay=0.1)
    optimiser = make_optimiser(model, [head, nn.Identity()], options)
    grouped = [id(p) for group in optimiser.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for module in (model, head) for p in module.parameters())
    for group in optimiser.param_groups:
        assert group["weight_decay"] == (0.1 if group["params"][0].ndim > 1 else 0.0)


def test_earlier_layers_move_slower(make_options):
    model = build_backbone("mobilefacenet", 16, 0.125)
    options = make_options(layer_decay=0.8, learning_rate=1.0, warmup=0.0)
    optimiser = make_optimiser(model, [], options)
    assert optimise.set_learning_rate(optimiser, options.rate_schedule, 0, 10) == 1
    rate = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    rates = [rate[id(p)] for _, p in model.named_parameters()]
    assert rates == sorted(rates) and rates[0] < 0.1 and rates[-1] == 1


def test_frozen_layers_are_the_first_and_get_no_gradient(make_options):
    model = build_backbone("sface", 16, 0.125)
    optimiser = make_optimiser(model, [], make_options(freeze_layers=3))
    model(torch.randn(2, 3, 112, 112)).square().sum().backward()
    still = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is None}
    assert still == {"conv_1", "conv_2_dw", "conv_2"}
    moved = {id(p) for group in optimiser.param_groups for p in group["params"]}
    assert moved == {id(p) for p in model.parameters() if p.requires_grad}


def test_the_last_layers_stay_and_norms_alone_may_move(make_options):
    model = build_backbone("sface", 16, 0.125)
    make_optimiser(
        model, [], make_options(freeze_layers=1, freeze_last_layers=3, train_only="norms")
    )
    moving = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(name.startswith(("conv_1.", "bn1", "pre_fc1", "fc1")) for name in moving)
    assert {name.split(".")[1] for name in moving} == {"1", "2"}  # of convolution, norm, slopes
    assert "conv_14.1.weight" in moving and "conv_2_dw.2.weight" in moving


def test_freezing_everything_is_refused(make_options):
    model = build_backbone("sface", 16, 0.125)
    with pytest.raises(KitError, match="30 layers"):
        make_optimiser(model, [], make_options(freeze_layers=30))
    with pytest.raises(
        KitError, match="--freeze-layers 20 and --freeze-last-layers 10: the student has 30 layers"
    ):
        make_optimiser(model, [], make_options(freeze_layers=20, freeze_last_layers=10))


def test_l2_sp_is_the_gradient_of_the_squared_distance():
    model = nn.Linear(3, 2)
    start = {name: p.detach() + 0.5 for name, p in model.named_parameters()}
    penalty = (
        0.5 * 0.7 * sum((p - start[name]).square().sum() for name, p in model.named_parameters())
    )
    wanted = torch.autograd.grad(penalty, list(model.parameters()))
    model(torch.zeros(1, 3)).sum().mul(0).backward()
    optimise.pull_towards(model, start, 0.7)
    for p, gradient in zip(model.parameters(), wanted, strict=True):
        torch.testing.assert_close(p.grad, gradient)


def test_between_goes_from_start_to_end_and_writes_to_neither():
    start, end = (
        {"w": torch.zeros(2), "n": torch.tensor(3)},
        {"w": torch.full((2,), 4.0), "n": torch.tensor(9)},
    )
    assert optimise.interpolate(start, end, 0.25)["w"].tolist() == [1, 1]
    assert optimise.interpolate(start, end, 0.25)["n"] == 9
    assert start["w"].tolist() == [0, 0] and end["w"].tolist() == [4, 4]


def test_frozen_norms_keep_their_statistics_and_still_train():
    model = optimise.train_with_frozen_norms(build_backbone("mobilefacenet", 16, 0.125))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model(torch.randn(3, 3, 112, 112)).sum().backward()
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.norm.weight.grad is not None
