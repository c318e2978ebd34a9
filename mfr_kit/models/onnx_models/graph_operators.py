"""The ONNX operators that recognisers compute with, as functions of torch tensors, in the form that
graph_shapes.py describes.
"""

import functools
from collections.abc import Callable

import torch
from torch.nn import functional

from mfr_kit.models.onnx_models.graph_pools import POOLS, pads_of, torch_pads
from mfr_kit.models.onnx_models.graph_shapes import (
    SHAPE_OPERATORS,
    Absent,
    Operator,
    axes_of,
    keep_in,
    simple,
    whole,
)

OPERATORS: dict[str, Operator] = {**SHAPE_OPERATORS, **POOLS}
OPERATORS.update(
    {
        "Add": simple(torch.add),
        "Sub": simple(torch.sub),
        "Mul": simple(torch.mul),
        "Pow": simple(torch.pow),
        "MatMul": simple(torch.matmul),
        "Relu": simple(torch.relu),
        "Sigmoid": simple(torch.sigmoid),
        "Tanh": simple(torch.tanh),
        "Erf": simple(torch.erf),
        "Sqrt": simple(torch.sqrt),
        "Exp": simple(torch.exp),
        "Abs": simple(torch.abs),
        "Neg": simple(torch.neg),
        "Reciprocal": simple(torch.reciprocal),
        "Log": simple(torch.log),
        "Sin": simple(torch.sin),
        "Cos": simple(torch.cos),
        "Floor": simple(torch.floor),
        "Not": simple(torch.logical_not),
        "Equal": simple(torch.eq),
        "Less": simple(torch.lt),
        "Greater": simple(torch.gt),
        "Where": simple(torch.where),
        "Max": simple(lambda *values: functools.reduce(torch.maximum, values)),
        "Min": simple(lambda *values: functools.reduce(torch.minimum, values)),
        "HardSwish": simple(functional.hardswish),
        "Sum": simple(lambda *values: sum(values[1:], values[0])),
        "Mean": simple(lambda *values: sum(values[1:], values[0]) / len(values)),
        "Softplus": simple(functional.softplus),
        "Mish": simple(functional.mish),
        "Selu": simple(functional.selu),
        "GlobalMaxPool": simple(lambda x: x.amax(tuple(range(2, x.dim())), keepdim=True)),
    }
)


@keep_in(OPERATORS, "Elu")
def _elu(network, inputs, attributes):
    return (functional.elu(inputs[0], attributes.get("alpha", 1.0)),)


@keep_in(OPERATORS, "InstanceNormalization")
def _instance_norm(network, inputs, attributes):
    x, weight, bias = inputs
    return (
        functional.instance_norm(x, None, None, weight, bias, eps=attributes.get("epsilon", 1e-5)),
    )


@keep_in(OPERATORS, "Einsum")
def _einsum(network, inputs, attributes):
    return (torch.einsum(attributes["equation"].decode(), *inputs),)


@keep_in(OPERATORS, "Div")
def _div(network, inputs, attributes):
    first, other = inputs
    whole = not first.is_floating_point()
    return (torch.div(first, other, rounding_mode="trunc" if whole else None),)


@keep_in(OPERATORS, "Conv")
def _conv(network, inputs, attributes):
    x, weight, *bias = inputs
    rank = weight.dim() - 2
    convolve = {1: functional.conv1d, 2: functional.conv2d}.get(rank)
    if convolve is None:
        raise Absent(f"a convolution over {rank} dimensions")
    strides = attributes.get("strides", [1] * rank)
    dilations = attributes.get("dilations", [1] * rank)
    begin, end = pads_of(x, weight.shape[2:], strides, dilations, attributes)
    if begin != end:
        x, begin = functional.pad(x, torch_pads(begin, end)), [0] * rank
    found = convolve(
        x, weight, bias[0] if bias else None, strides, begin, dilations, attributes.get("group", 1)
    )
    return (found,)


@keep_in(OPERATORS, "BatchNormalization")
def _batch_norm(network, inputs, attributes):
    x, weight, bias, mean, variance = inputs
    found = functional.batch_norm(
        x,
        mean,
        variance,
        weight,
        bias,
        network.training,
        1 - attributes.get("momentum", 0.9),
        attributes.get("epsilon", 1e-5),
    )
    return (found,)


@keep_in(OPERATORS, "LayerNormalization")
def _layer_norm(network, inputs, attributes):
    x, weight, *bias = inputs
    shape = [int(size) for size in x.shape[attributes.get("axis", -1) :]]
    own = bias[0] if bias else None
    return (functional.layer_norm(x, shape, weight, own, attributes.get("epsilon", 1e-5)),)


@keep_in(OPERATORS, "LpNormalization")
def _normalise(network, inputs, attributes):
    order, axis = attributes.get("p", 2), attributes.get("axis", -1)
    return (functional.normalize(inputs[0], order, axis, eps=1e-12),)


@keep_in(OPERATORS, "PRelu")
def _prelu(network, inputs, attributes):
    x, slope = inputs
    slope = slope.to(x.dtype)
    channels = x.shape[1] if x.dim() > 1 else 1
    by_channel = slope.dim() == x.dim() - 1 and slope.shape[0] == slope.numel()
    if slope.numel() == 1 or (by_channel and slope.numel() == channels):
        return (functional.prelu(x, slope.flatten()),)
    return (torch.where(x < 0, slope * x, x),)


@keep_in(OPERATORS, "LeakyRelu")
def _leaky(network, inputs, attributes):
    return (functional.leaky_relu(inputs[0], attributes.get("alpha", 0.01)),)


@keep_in(OPERATORS, "HardSigmoid")
def _hard_sigmoid(network, inputs, attributes):
    slope, offset = attributes.get("alpha", 0.2), attributes.get("beta", 0.5)
    return ((slope * inputs[0] + offset).clamp(0, 1),)


@keep_in(OPERATORS, "Gelu")
def _gelu(network, inputs, attributes):
    how = attributes.get("approximate", b"none").decode()
    return (functional.gelu(inputs[0], approximate=how),)


@keep_in(OPERATORS, "Softmax")
def _softmax(network, inputs, attributes):
    x, axis = inputs[0], attributes.get("axis", -1) % inputs[0].dim()
    if attributes.get("flat") and axis != x.dim() - 1:  # before opset 13, over all that follow
        return (torch.softmax(x.flatten(axis), -1).reshape(x.shape),)
    return (torch.softmax(x, axis),)


@keep_in(OPERATORS, "Clip")
def _clip(network, inputs, attributes):
    x, low, high = (*inputs, None, None)[:3]
    low, high = attributes.get("min", low), attributes.get("max", high)
    return (x if low is None and high is None else torch.clamp(x, low, high),)


@keep_in(OPERATORS, "Dropout")
def _dropout(network, inputs, attributes):
    if not network.training:
        return (inputs[0],)
    ratio = inputs[1] if len(inputs) > 1 else None
    share = attributes.get("ratio", 0.5) if ratio is None else float(ratio)
    return (functional.dropout(inputs[0], share),)


@keep_in(OPERATORS, "Gemm")
def _gemm(network, inputs, attributes):
    first, other, *bias = inputs
    first = first.T if attributes.get("transA") else first
    alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    if attributes.get("transB") and alpha == beta == 1 and bias and bias[0].dim() == 1:
        return (functional.linear(first, other, bias[0]),)
    found = alpha * (first @ (other.T if attributes.get("transB") else other))
    return (found + beta * bias[0] if bias and bias[0] is not None else found,)


@keep_in(OPERATORS, "Pad")
def _pad(network, inputs, attributes):
    x = inputs[0]
    sizes = attributes.get("pads") or whole(inputs[1])
    if attributes.get("mode", b"constant") != b"constant" or len(inputs) > 3:
        raise Absent("a padding that is not of a constant, or of chosen axes")
    value = inputs[2] if len(inputs) > 2 and inputs[2] is not None else attributes.get("value", 0)
    rank = len(sizes) // 2
    return (functional.pad(x, torch_pads(sizes[:rank], sizes[rank:]), value=float(value)),)


@keep_in(OPERATORS, "CumSum")
def _sum_up(network, inputs, attributes):
    if attributes.get("exclusive") or attributes.get("reverse"):
        raise Absent("a running sum that is exclusive or goes backwards")
    return (torch.cumsum(inputs[0], int(inputs[1])),)


def _reduce(function: Callable) -> Operator:
    def run(network, inputs, attributes):
        axes = axes_of(inputs, attributes)
        if axes is None:
            if attributes.get("noop_with_empty_axes"):
                return (inputs[0],)
            axes = list(range(inputs[0].dim()))
        return (function(inputs[0], axes, bool(attributes.get("keepdims", 1))),)

    return run


OPERATORS.update(
    {
        "ReduceMean": _reduce(lambda x, axes, keep: x.mean(axes, keepdim=keep)),
        "ReduceSum": _reduce(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
        "ReduceMax": _reduce(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
        "ReduceMin": _reduce(lambda x, axes, keep: x.amin(axes, keepdim=keep)),
        "ReduceSumSquare": _reduce(lambda x, axes, keep: x.square().sum(axes, keepdim=keep)),
        "ReduceL1": _reduce(lambda x, axes, keep: x.abs().sum(axes, keepdim=keep)),
        "ReduceL2": _reduce(lambda x, axes, keep: x.norm(2, axes, keepdim=keep)),
    }
)
