"""The ONNX operators that move values about without computing with them, as functions of torch
tensors; the form of every operator here and in graph_operators.py.

Each takes the network (for `training`), the node's inputs (None for one that is left out) and its
attributes, and returns its outputs. Whole numbers are shapes and axes: they stay on the CPU.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Inputs = list[Any]
Operator = Callable[[nn.Module, Inputs, dict], Any]
SHAPE_OPERATORS: dict[str, Operator] = {}
KINDS = {"float": "float32", "double": "float64"}  # onnx's names where torch has others


class Absent(Exception):
    """A form of an operator that is not written here."""


def keep_in(table: dict[str, Operator], name: str) -> Callable[[Operator], Operator]:
    """Decorate a function as the operator `name` of a table."""

    def keep(function: Operator) -> Operator:
        table[name] = function
        return function

    return keep


def simple(function: Callable) -> Operator:
    """Make an operator of a function of its inputs alone."""
    return lambda network, inputs, attributes: (function(*inputs),)


def whole(value: Tensor | None) -> Any:
    """Return a shape, axes or sizes as a list of numbers; None where there are none."""
    if value is None:
        return None
    known = getattr(value, "numbers", None)  # of a constant, which torch.compile need not read
    return value.flatten().tolist() if known is None else known


def axes_of(inputs: Inputs, attributes: dict) -> Any:
    """Return the axes, an attribute in old opsets and an input in new ones; None for all."""
    return attributes.get("axes") or whole(inputs[1] if len(inputs) > 1 else None)


SHAPE_OPERATORS["Identity"] = simple(lambda value: value)
SHAPE_OPERATORS["Shape"] = simple(lambda value: torch.tensor(value.shape))


@keep_in(SHAPE_OPERATORS, "Flatten")
def _flatten(network, inputs, attributes):
    x, axis = inputs[0], attributes.get("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    # an export keeps a free batch in these forms
    if axis == 0:
        return (x.reshape(1, -1),)
    rows = x.flatten(0, axis - 1) if axis > 1 else x
    return (rows.flatten(1) if axis < x.dim() else rows.unsqueeze(-1),)


@keep_in(SHAPE_OPERATORS, "Reshape")
def _reshape(network, inputs, attributes):
    x, sizes = inputs[0], whole(inputs[1])
    if not attributes.get("allowzero"):
        sizes = [x.shape[at] if size == 0 else size for at, size in enumerate(sizes)]
    return (x.reshape(sizes),)


@keep_in(SHAPE_OPERATORS, "Transpose")
def _transpose(network, inputs, attributes):
    x = inputs[0]
    return (x.permute(attributes.get("perm", list(range(x.dim()))[::-1])),)


@keep_in(SHAPE_OPERATORS, "Squeeze")
def _squeeze(network, inputs, attributes):
    axes = axes_of(inputs, attributes)
    return (inputs[0].squeeze() if axes is None else inputs[0].squeeze(tuple(axes)),)


@keep_in(SHAPE_OPERATORS, "Unsqueeze")
def _unsqueeze(network, inputs, attributes):
    x, axes = inputs[0], axes_of(inputs, attributes)
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return (x,)


@keep_in(SHAPE_OPERATORS, "Concat")
def _concat(network, inputs, attributes):
    axis = attributes["axis"] % inputs[0].dim()
    batch = max(value.shape[0] for value in inputs) if axis else 1
    # a token of a file for one face: a constant with a batch of one beside a batch of faces
    if batch > 1 and all(value.shape[0] in (1, batch) for value in inputs):
        inputs = [value.expand(batch, *value.shape[1:]) for value in inputs]
    return (torch.cat(inputs, axis),)


@keep_in(SHAPE_OPERATORS, "Split")
def _split(network, inputs, attributes):
    x, axis = inputs[0], attributes.get("axis", 0)
    sizes = attributes.get("split") or whole(inputs[1] if len(inputs) > 1 else None)
    if sizes is None:
        sizes = -(-x.shape[axis] // attributes["outputs"])
    return torch.split(x, sizes, axis)


@keep_in(SHAPE_OPERATORS, "Slice")
def _slice(network, inputs, attributes):
    x, *bounds = inputs
    begin, end, axes, steps = ([whole(bound) for bound in bounds] + [None] * 4)[:4]
    begin, end = begin or attributes["starts"], end or attributes["ends"]
    axes = axes or attributes.get("axes") or list(range(len(begin)))
    for start, stop, axis, step in zip(begin, end, axes, steps or [1] * len(axes), strict=True):
        if step < 1:
            raise Absent("a slice that goes backwards")
        x = x[(slice(None),) * (axis % x.dim()) + (slice(start, stop, step),)]
    return (x,)


@keep_in(SHAPE_OPERATORS, "Gather")
def _gather(network, inputs, attributes):
    x, indices = inputs
    axis = attributes.get("axis", 0) % x.dim()
    size = int(x.shape[axis])
    chosen = [at + size if at < 0 else at for at in whole(indices)]
    if not indices.dim():
        return (x.select(axis, chosen[0]),)
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    return (x.index_select(axis, torch.tensor(chosen, device=x.device)).reshape(shape),)


@keep_in(SHAPE_OPERATORS, "Expand")
def _expand(network, inputs, attributes):
    x, sizes = inputs[0], whole(inputs[1])
    return (x.expand(torch.broadcast_shapes(x.shape, tuple(sizes))),)


@keep_in(SHAPE_OPERATORS, "Tile")
def _tile(network, inputs, attributes):
    return (inputs[0].tile(whole(inputs[1])),)


@keep_in(SHAPE_OPERATORS, "ConstantOfShape")
def _constant_of_shape(network, inputs, attributes):
    from onnx import numpy_helper

    value = attributes.get("value")
    filled = torch.zeros(1) if value is None else torch.tensor(numpy_helper.to_array(value))
    return (filled.flatten()[0].expand(whole(inputs[0])).clone(),)


@keep_in(SHAPE_OPERATORS, "Cast")
def _cast(network, inputs, attributes):
    from onnx import helper

    name = helper.tensor_dtype_to_string(attributes["to"]).removeprefix("TensorProto.").lower()
    kind = getattr(torch, KINDS.get(name, name), None)
    if kind is None:
        raise Absent(f"a cast to {name}")
    return (inputs[0].to(kind),)
