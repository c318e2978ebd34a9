"""Whether what last.pt holds is what the run's networks and optimiser can take, all of it,
before any of it is taken.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

NUMBERS = ("step", "best", "world_size", "batch_size")
MOST = 1 << 24  # ranks, and faces of one
MOVING = ("lr", "initial_lr")  # of an optimiser's options, what changes while a run goes
MOMENTS = {"AdamW": {"step", "exp_avg", "exp_avg_sq"}, "SGD": {"momentum_buffer"}}


def mismatch(content: Any, state: Any, last_step: int) -> str | None:
    """Say what of a checkpoint does not fit the run; None where all does.

    Args:
        content: what the file holds.
        state: the run's `checkpoint.State`.
        last_step: the step that the run ends with.
    """
    names = ("student", "projector", "head", "optimiser", "initial", "average", "scaler", *NUMBERS)
    if not isinstance(content, dict):
        return f"it holds {type(content).__name__}, not the parts of a run"
    missing = [name for name in (*names, "torch_rng") if name not in content]
    if missing:
        return f"'{missing[0]}' is missing"
    own = {name: getattr(state, name).state_dict() for name in ("student", "projector", "head")}
    own["initial"] = state.initial
    for name, tensors in own.items():
        differs = tensors_differ(content[name], tensors)
        if differs:
            return f"'{name}': {differs}"
    if (content["average"] is None) != (state.average is None):
        return "'average' is there or missing against --ema"
    found = None if state.average is None else tensors_differ(content["average"], state.average)
    return (
        (f"'average': {found}" if found else None)
        or _optimiser_differs(content["optimiser"], state.optimiser)
        or _scaler_differs(content["scaler"], state.scaler.state_dict())
        or _numbers_differ(content, last_step)
    )


def tensors_differ(found: Any, own: Mapping[str, Tensor]) -> str | None:
    """Say how tensors by name differ from `own` in name, shape or type, or that one is not
    finite; None where they fit.
    """
    if not isinstance(found, dict):
        return f"{type(found).__name__} where tensors by name are expected"
    odd = [key for key in (*own, *found) if key not in found or key not in own]
    if odd:
        return f"{len(odd)} keys are missing or too many, as {str(odd[0])[:80]}"
    for key, value in found.items():
        differs = tensor_differs(value, own[key])
        if differs:
            return f"{key} {differs}"
    return None


def tensor_differs(value: Any, own: Tensor) -> str | None:
    """Say how a value differs from a tensor in shape or type, or that it is not finite; None
    where it fits.
    """
    if not isinstance(value, Tensor):
        return f"is {type(value).__name__}, not a tensor"
    if value.layout != torch.strided or value.shape != own.shape or value.dtype != own.dtype:
        return f"is {value.dtype} {tuple(value.shape)}, not {own.dtype} {tuple(own.shape)}"
    if value.is_floating_point() and not bool(torch.isfinite(value).all()):
        return "is not finite: the run had failed, lower --learning-rate"
    return None


def _optimiser_differs(found: Any, optimiser: torch.optim.Optimizer) -> str | None:
    if not isinstance(found, dict) or set(found) != {"state", "param_groups"}:
        return "'optimiser' has no state and groups"
    return _groups_differ(found["param_groups"], optimiser.state_dict()["param_groups"]) or (
        _moments_of_all_differ(found["state"], optimiser)
    )


def _groups_differ(groups: Any, own: list[dict]) -> str | None:
    """A resumed run has the options it began with, so all but the rates are equal."""
    if not isinstance(groups, list) or len(groups) != len(own):
        return "'optimiser' has other groups than the run"
    for number, (group, mine) in enumerate(zip(groups, own, strict=True)):
        if not isinstance(group, dict) or set(group) != set(mine):
            return f"'optimiser': group {number} has other options than the run"
        for name, value in mine.items():
            given = group[name]
            rate = name in MOVING and type(given) is float and 0 <= given < 1e300
            if not rate and (type(given) is not type(value) or given != value):
                differs = f"{str(given)[:40]}, not {str(value)[:40]}"
                return f"'optimiser': '{name}' of group {number} is {differs}"
    return None


def _moments_of_all_differ(state: Any, optimiser: torch.optim.Optimizer) -> str | None:
    numbered = [param for group in optimiser.param_groups for param in group["params"]]
    wanted = MOMENTS[type(optimiser).__name__]
    for key, moments in state.items() if isinstance(state, dict) else [(None, None)]:
        if type(key) is not int or not 0 <= key < len(numbered):
            return f"'optimiser' has the state of a parameter {str(key)[:40]} that there is not"
        if not isinstance(moments, dict) or set(moments) != wanted:
            return f"'optimiser': the state of parameter {key} is not {', '.join(sorted(wanted))}"
        found = _moments_differ(moments, numbered[key])
        if found:
            return f"'optimiser', parameter {key}: {found}"
    return None


def _moments_differ(moments: dict, param: Tensor) -> str | None:
    for name, value in moments.items():
        if value is None and name == "momentum_buffer":
            continue
        own = torch.zeros(()) if name == "step" else param
        differs = tensor_differs(value, own)
        if differs:
            return f"{name} {differs}"
        if name in ("step", "exp_avg_sq") and bool((value < 0).any()):
            return f"{name} is negative"
    return None


def _scaler_differs(found: Any, own: dict) -> str | None:
    """The scale and the steps since it has changed move; the rest are constants of torch's."""
    if not isinstance(found, dict) or set(found) != set(own):
        return "'scaler' is of another --precision"
    for name, value in own.items():
        given, moves = found[name], name in ("scale", "_growth_tracker")
        fits = moves and type(given) is type(value) and 0 <= given < 1e300
        if not fits and given is not value and given != value:
            return f"'scaler': '{name}' is {str(given)[:40]}"
    return None


def _numbers_differ(content: dict, last_step: int) -> str | None:
    step, best, rng = content["step"], content["best"], content["torch_rng"]
    if type(step) is not int or not 0 <= step <= last_step:
        return f"'step' is {str(step)[:40]}, not a whole number from 0 to {last_step}"
    for name in ("world_size", "batch_size"):
        if type(content[name]) is not int or not 1 <= content[name] <= MOST:
            return f"'{name}' is {str(content[name])[:40]}, not a whole number from 1 to {MOST}"
    if type(best) not in (int, float) or not -1 <= best <= 1:
        return f"'best' is {str(best)[:40]}, not a score"
    differs = tensor_differs(rng, torch.get_rng_state())
    return f"'torch_rng' {differs}" if differs else None
