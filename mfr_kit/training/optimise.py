"""How weights move: parameter groups, learning-rate schedule, the pull towards the start, and
averages of weights.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mfr_kit.errors import KitError
from mfr_kit.training.settings import Descent, Layers, RateSchedule

# shares of the run at which the step schedule divides by ten; 10, 18, 22 of 26 epochs as usual
STEP_AT = (0.4, 0.7, 0.9)


def make_optimiser(
    student: nn.Module, others: list[nn.Module], descent: Descent, layers: Layers
) -> torch.optim.Optimizer:
    """Make the optimiser; each group carries the `factor` by which `set_learning_rate` scales its
    rate.

    Args:
        student: what `layers` leaves as it is needs no gradient from here on.
        others: projector and heads; full rate.
        descent: which optimiser, and its constants.
        layers: which of the student's layers move, and how fast against one another.
    Raises:
        KitError: no layer is left to train.
    """
    groups = []
    moving: list[tuple[float, list[Tensor]]]
    moving = _group_by_rate(_freeze_rest(student, layers), layers.rate_decay)
    moving += [(1.0, list(module.parameters())) for module in others]
    for factor, parameters in moving:
        for decay, chosen in (
            (descent.weight_decay, [p for p in parameters if p.ndim > 1]),
            (0.0, [p for p in parameters if p.ndim <= 1]),
        ):
            if chosen:
                groups.append(
                    {
                        "params": chosen,
                        "weight_decay": decay,
                        "factor": factor,
                        "lr": descent.learning_rate * factor,
                    }
                )
    rate = descent.learning_rate
    if descent.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=descent.momentum, fused=True)
    return torch.optim.AdamW(groups, lr=rate, fused=True)


def set_learning_rate(
    optimiser: torch.optim.Optimizer, course: RateSchedule, step: int, total: int
) -> float:
    """Set every group's rate for a step and return the unscaled rate."""
    rate = course.peak * schedule(course.fall, step, total, course.warmup)
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]
    return rate


def schedule(name: str, step: int, total: int, warmup: float) -> float:
    """Return the learning rate's factor in (0, 1] for step 0 .. total - 1: a linear rise, then
    the named fall.
    """
    rise = round(warmup * total)
    if step < rise:
        return (step + 1) / rise
    passed = (step - rise) / max(1, total - rise)
    if name == "cosine":
        return 0.5 * (1 + math.cos(math.pi * passed))
    if name == "polynomial":
        return (1 - passed) ** 2
    if name == "step":
        return 0.1 ** sum(step / total >= at for at in STEP_AT)
    return 1.0


def pull_towards(model: nn.Module, start: Mapping[str, Tensor], strength: float) -> None:
    """Add the gradient of L2-SP, strength * (w - w_start), to the gradients in place.

    Source: Li et al., *Explicit Inductive Bias for Transfer Learning with Convolutional Networks*
        (arXiv 1802.01483).
    """
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            parameter.grad.add_(parameter.detach() - start[name], alpha=strength)


def interpolate(
    start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Interpolate two state dicts: `share` 0 gives `start`, 1 gives `end`; counters are `end`'s.
    Nothing is written to.
    """
    return {
        key: start[key].lerp(value, share) if value.is_floating_point() else value
        for key, value in end.items()
    }


def train_with_frozen_norms(model: nn.Module) -> nn.Module:
    """Put a model in training mode but keep its batch-norm statistics as they are."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return model


def _freeze_rest(model: nn.Module, chosen: Layers) -> list[list[Tensor]]:
    """Take what shall not move out of training (autograd stops before the first layers) and
    return the other parameters, layer by layer.
    """
    layers = _group_by_layer(model)
    first, last = chosen.freeze_first, len(layers) - chosen.freeze_last
    if first >= last:
        flags = (
            f"--freeze-layers {chosen.freeze_first} and --freeze-last-layers {chosen.freeze_last}"
        )
        raise KitError(
            f"{flags}: the student has {len(layers)} layers, and one at least must be trained"
        )
    moving = [
        [p for p in layer if chosen.train_only == "all" or p.ndim == 1]
        for layer in layers[first:last]
    ]
    kept = {id(parameter) for layer in moving for parameter in layer}
    for parameter in model.parameters():
        if id(parameter) not in kept:
            parameter.requires_grad_(False)
    return moving


def _group_by_rate(layers: list[list[Tensor]], decay: float) -> list[tuple[float, list[Tensor]]]:
    """Give each layer its factor, the last one 1; without decay all of them are one group."""
    if decay == 1:
        return [(1.0, [parameter for parameters in layers for parameter in parameters])]
    return [
        (decay ** (len(layers) - 1 - number), parameters)
        for number, parameters in enumerate(layers)
    ]


def _group_by_layer(model: nn.Module) -> list[list[Tensor]]:
    """Group parameters by layer, in the order of their registration, or as the model says."""
    own = getattr(model, "parameters_by_layer", None)
    if own is not None:
        return own()
    layers: dict[str, list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        parts = name.split(".")
        layers.setdefault(
            ".".join(parts[:2]) if len(parts) > 3 and parts[1].isdigit() else parts[0], []
        ).append(parameter)
    return list(layers.values())
