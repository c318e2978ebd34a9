"""A classification head divided over the ranks, as a run sees it: how it is made, moved, and kept
in last.pt.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mfr_kit.errors import KitError
from mfr_kit.losses._margin import MarginHead
from mfr_kit.losses._sharded_head import ShardedHead
from mfr_kit.losses._shards import ClassShard, total
from mfr_kit.training import head_rows
from mfr_kit.training.checkpoint import State
from mfr_kit.training.method import Method
from mfr_kit.training.ranks import Ranks
from mfr_kit.training.settings import HeadSpec


def make_head(
    method: Method, classes: int, size: int, spec: HeadSpec, ranks: Ranks
) -> nn.Module | None:
    """Make the method's head, or this rank's shard of it; None where the method has none.

    Raises:
        KitError: shards of a head that there is not, or more ranks than classes.
    """
    if not spec.sharded:
        return method.make_head(classes, size)
    with torch.device("meta"):
        whole: Any = method.make_head(classes, size)
    if whole is None and method.shares_prototypes and spec.negatives == 1:
        return None
    if whole is None and method.shares_prototypes:
        raise KitError(f"--negatives: --method {method.name} compares all classes; leave it out")
    if whole is None:
        raise KitError(
            f"--head sharded: --method {method.name} with these options has no classification "
            "head; leave it out"
        )
    if not isinstance(whole, MarginHead):
        raise KitError(
            f"--head sharded: --method {method.name} keeps more than class centres; use --head "
            "whole"
        )
    if ranks.world > classes:
        raise KitError(
            f"--head sharded: {ranks.world} ranks cannot share {classes} people; use --head whole"
        )
    shard = ClassShard(classes, ranks.rank, ranks.world)
    return ShardedHead(whole, shard, negatives=spec.negatives, seed=spec.seed)


def share_prototypes(
    method: Method, classes: int, spec: HeadSpec, ranks: Ranks
) -> ClassShard | None:
    """Say which classes' prototypes this rank holds; None for all."""
    shared = spec.sharded and method.shares_prototypes
    return ClassShard(classes, ranks.rank, ranks.world) if shared else None


@contextmanager
def dense_gradients(state: State) -> Iterator[None]:
    """Let the optimiser see, of a head whose negatives are drawn, the rows that have a gradient.

    The others stay as they are: no weight decay, and their momentum waits until they are drawn
    again. AdamW's count of steps is that of the head.
    """
    weight = state.head.weight if isinstance(state.head, ShardedHead) else None
    gradient = None if weight is None else weight.grad
    if weight is None or gradient is None or not gradient.is_sparse:
        yield
        return
    optimiser, gradient = state.optimiser, gradient.coalesce()
    rows, whole = gradient.indices()[0], weight.data
    before = _moments(optimiser.state.get(weight, {}))
    weight.grad = None  # a gradient has the shape of its weight
    weight.data = whole[rows]
    weight.grad = gradient.values()
    for name, moment in before.items():
        optimiser.state[weight][name] = moment[rows]
    try:
        yield
    finally:
        whole[rows] = weight.data
        weight.grad = None
        weight.data = whole
        for name, moment in _moments(optimiser.state.get(weight, {})).items():
            kept = before[name] if name in before else torch.zeros_like(whole)
            kept[rows] = moment
            optimiser.state[weight][name] = kept


def share_overflow(state: State) -> None:
    """Let all ranks leave out a step whose gradients overflow in one rank's shard."""
    head = state.head
    if not isinstance(head, ShardedHead) or not state.scaler.is_enabled():
        return
    gradient = _gradient_of(head)
    broken = total((~torch.isfinite(gradient).all()).float(), head.shard)
    gradient.masked_fill_(broken > 0, torch.inf)


def clip(state: State, limit: float) -> Tensor:
    """Scale all gradients, in place, to a norm of at most `limit` (0: any) over all shards; return
    the norm before.
    """
    most = limit or float("inf")
    parameters = [p for group in state.optimiser.param_groups for p in group["params"]]
    if not isinstance(state.head, ShardedHead):
        return nn.utils.clip_grad_norm_(parameters, most)
    weight, shard = state.head.weight, state.head.shard
    here = nn.utils.get_total_norm([_gradient_of(state.head)])
    others = [p.grad for p in parameters if p is not weight and p.grad is not None]
    squares = total(here.square(), shard) + nn.utils.get_total_norm(others).square()
    norm = squares.sqrt()
    nn.utils.clip_grads_with_norm_(parameters, most, norm)
    return norm


def own_rows_of(state: State) -> dict[str, tuple[int, Tensor]]:
    """Return what of a checkpoint this rank alone holds: the number of the first row, and the
    rows, of the head's weight and of each of its optimiser's moments. Nothing where the head is
    whole.
    """
    head = state.head
    if not isinstance(head, ShardedHead):
        return {}
    moments = _moments(state.optimiser.state.get(head.weight, {}))
    start = head.shard.start
    return {name: (start, rows) for name, rows in {"weight": head.weight.data, **moments}.items()}


def without_rows(state: State) -> dict[str, Any]:
    """Return the head and the optimiser of a checkpoint without what `own_rows_of` returns."""
    weights, optimiser = state.head.state_dict(), state.optimiser.state_dict()
    del weights["weight"]
    states, number = dict(optimiser["state"]), _number_of(state)
    if number in states:
        moments = _moments(states[number])
        rest = {name: value for name, value in states[number].items() if name not in moments}
        states[number] = rest
    return {"head": weights, "optimiser": {**optimiser, "state": states}}


def cut(content: Any, state: State, folder: Path) -> Any:
    """Return a checkpoint with the head's rows that this rank holds: out of the folder beside it
    that it names, or in place of a whole head. What does not fit stays, to be refused.

    Raises:
        KitError: the folder is damaged.
    """
    if not isinstance(content, dict):
        return content
    content = dict(content)
    named = content.pop(head_rows.NAMED, None)
    if isinstance(named, str):
        return _put_rows(content, state, folder / Path(named).name)
    head = state.head
    if not isinstance(head, ShardedHead):
        return content
    number, shard = _number_of(state), head.shard
    if isinstance(content.get("head"), dict):
        content["head"] = _cut_tensors(content["head"], shard)
    optimiser = content.get("optimiser")
    states = optimiser.get("state") if isinstance(optimiser, dict) else None
    if isinstance(states, dict) and isinstance(states.get(number), dict):
        states = {**states, number: _cut_tensors(states[number], shard)}
        content["optimiser"] = {**optimiser, "state": states}
    return content


def _put_rows(content: dict, state: State, place: Path) -> dict:
    """Put the rows of a folder to where a checkpoint of this rank alone would have them."""
    weight: Any = getattr(state.head, "weight", None)
    if weight is None or not isinstance(content.get("head"), dict):
        return content
    shard = state.head.shard if isinstance(state.head, ShardedHead) else None
    start = shard.start if shard else 0
    rows = head_rows.read(place, start, start + len(weight))
    content["head"] = {**content["head"], "weight": rows.pop("weight", None)}
    optimiser, number = content.get("optimiser"), _number_of(state)
    states: Any = optimiser.get("state") if isinstance(optimiser, dict) else None
    if optimiser and isinstance(states, dict) and isinstance(states.get(number, {}), dict) and rows:
        moments = {**states.get(number, {}), **rows}
        content["optimiser"] = {**optimiser, "state": {**states, number: moments}}
    return content


def _cut_tensors(tensors: dict, shard: ClassShard) -> dict:
    def part(value: Any) -> Any:
        whole = isinstance(value, Tensor) and value.ndim == 2 and len(value) == shard.classes
        return value[shard.start : shard.stop].clone() if whole else value

    return {name: part(value) for name, value in tensors.items()}


def _number_of(state: State) -> int:
    """Return the number of the head's weight among the optimiser's parameters."""
    numbered = [p for group in state.optimiser.param_groups for p in group["params"]]
    return next(i for i, p in enumerate(numbered) if p is state.head.weight)


def _moments(values: dict) -> dict[str, Tensor]:
    """Return what an optimiser keeps a number a weight."""
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, Tensor) and value.ndim == 2
    }


def _gradient_of(head: ShardedHead) -> Tensor:
    assert head.weight.grad is not None  # a head is in every loss that has one
    return head.weight.grad
