"""The pooling operators of ONNX as functions of torch tensors, in the form that graph_shapes.py
describes, and the pads of windows.
"""

import torch
from torch import Tensor
from torch.nn import functional

from mfr_kit.models.onnx_models.graph_shapes import Absent, Operator, keep_in

POOLS: dict[str, Operator] = {}


def pads_of(x: Tensor, kernel, strides, dilations, attributes: dict) -> tuple[list, list]:
    """Return the pixels that are added before and behind every dimension."""
    rank, how = len(kernel), attributes.get("auto_pad", b"NOTSET").decode()
    if how == "NOTSET":
        pads = attributes.get("pads", [0] * 2 * rank)
        return list(pads[:rank]), list(pads[rank:])
    if how == "VALID":
        return [0] * rank, [0] * rank
    totals = [
        max(0, (-(-size // stride) - 1) * stride + (wide - 1) * apart + 1 - size)
        for size, wide, stride, apart in zip(x.shape[2:], kernel, strides, dilations, strict=True)
    ]
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return (small, large) if how == "SAME_UPPER" else (large, small)


def torch_pads(begin: list, end: list) -> list[int]:
    """Order pads as torch takes them: the last dimension first."""
    return [size for pair in zip(begin[::-1], end[::-1], strict=True) for size in pair]


@keep_in(POOLS, "GlobalAveragePool")
def _global_average(network, inputs, attributes):
    x = inputs[0]
    if x.dim() == 4:  # the same sum, which an export writes as this operator again
        return (functional.adaptive_avg_pool2d(x, 1),)
    return (x.mean(tuple(range(2, x.dim())), keepdim=True),)


@keep_in(POOLS, "MaxPool")
def _max_pool(network, inputs, attributes):
    begin, end = _pool_pads(inputs[0], attributes)
    kernel, strides = attributes["kernel_shape"], attributes.get("strides", [1, 1])
    dilations = attributes.get("dilations", [1, 1])
    if attributes.get("ceil_mode") or set(dilations) != {1}:
        if begin != end or len(kernel) != 2:
            raise Absent("a pooling that rounds up or is dilated, with other pads at its ends")
        up = bool(attributes.get("ceil_mode"))
        return (functional.max_pool2d(inputs[0], kernel, strides, begin, dilations, up),)
    if begin == end and all(2 * pad <= size for pad, size in zip(begin, kernel, strict=True)):
        return (functional.max_pool2d(inputs[0], kernel, strides, begin),)
    x, kernel, strides = _window(inputs[0], attributes, -torch.inf)
    return (functional.max_pool2d(x, kernel, strides),)


@keep_in(POOLS, "AveragePool")
def _average_pool(network, inputs, attributes):
    begin, end = _pool_pads(inputs[0], attributes)
    whole = bool(attributes.get("count_include_pad"))
    x, kernel, strides = _window(inputs[0], attributes, 0.0)
    halves = all(2 * pad <= size for pad, size in zip(begin, kernel, strict=True))
    if any(begin) and begin == end and halves:
        return (functional.avg_pool2d(inputs[0], kernel, strides, begin, False, whole),)
    found = functional.avg_pool2d(x, kernel, strides)
    if not whole and x.shape != inputs[0].shape:
        ones = _window(torch.ones_like(inputs[0][:1, :1]), attributes, 0.0)[0]
        found = found / functional.avg_pool2d(ones, kernel, strides)
    return (found,)


def _pool_pads(x: Tensor, attributes: dict) -> tuple[list, list]:
    kernel, strides = attributes["kernel_shape"], attributes.get("strides", [1, 1])
    if len(kernel) != 2:
        raise Absent("a pooling that is not over two dimensions")
    return pads_of(x, kernel, strides, attributes.get("dilations", [1, 1]), attributes)


def _window(x: Tensor, attributes: dict, edge: float) -> tuple[Tensor, list, list]:
    """The padded map, kernel and strides of a pooling."""
    kernel, strides = attributes["kernel_shape"], attributes.get("strides", [1, 1])
    dilated = set(attributes.get("dilations", [1])) != {1}
    if len(kernel) != 2 or attributes.get("ceil_mode") or dilated:
        raise Absent("a pooling that is dilated, rounds up or is not over two dimensions")
    begin, end = pads_of(x, kernel, strides, [1, 1], attributes)
    if any(begin + end):
        x = functional.pad(x, torch_pads(begin, end), value=edge)
    return x, kernel, strides
