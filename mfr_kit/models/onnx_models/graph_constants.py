"""The constants of an ONNX graph as torch tensors, and its batch norms as torch's modules."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    import onnx

STANDARD = ("", "ai.onnx")  # the names of the standard's own operators
# how files call the scale of a batch norm behind the norm's own name
SCALES = (".weight", ".scale", ".gamma", "_gamma", "/gamma")


class BatchNorm(_BatchNorm):
    """A batch norm over maps of any rank, as the operator is."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass


def is_norm(node: "onnx.NodeProto", constants: dict[str, Tensor]) -> bool:
    """Whether a node is a batch norm of constants, as all are but those exported for training."""
    if node.op_type != "BatchNormalization" or not all(
        entry in constants for entry in node.input[1:]
    ):
        return False
    values = [constants[entry] for entry in node.input[1:]]
    return all(value.shape == values[0].shape and value.dim() == 1 for value in values)


def make_norm(node: "onnx.NodeProto", constants: dict[str, Tensor]) -> BatchNorm:
    """Make a batch norm a module with copies of its constants: several nodes may share them."""
    values = attributes_of(node)
    scale, shift, mean, variance = (constants[entry].clone() for entry in node.input[1:])
    norm = BatchNorm(
        len(scale),
        values.get("epsilon", 1e-5),
        1 - values.get("momentum", 0.9),
        device=scale.device,
        dtype=scale.dtype,
    )
    norm.weight, norm.bias = nn.Parameter(scale), nn.Parameter(shift)
    norm.running_mean, norm.running_var = mean, variance
    return norm


def name_norm(node: "onnx.NodeProto") -> str:
    """Name a batch norm after its scale."""
    scale = node.input[1]
    return next((scale.removesuffix(end) for end in SCALES if scale.endswith(end)), scale)


def attributes_of(node: "onnx.NodeProto") -> dict[str, Any]:
    """Return a node's attributes as plain values by name."""
    from onnx import helper

    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def bounds_of(node: "onnx.NodeProto", constants: dict[str, Tensor]) -> dict[str, float]:
    """Return the bounds of a Clip as plain numbers, with which torch clips fastest; nothing where
    they are computed, or there are none.
    """
    entries = dict(zip(("min", "max"), node.input[1:], strict=False))
    named = {key: entry for key, entry in entries.items() if entry}
    if node.op_type != "Clip" or not all(
        entry in constants and constants[entry].numel() == 1 and not constants[entry].is_meta
        for entry in named.values()
    ):
        return {}
    return {key: constants[entry].item() for key, entry in named.items()}


def opset_of(model: "onnx.ModelProto") -> int:
    """Return the version of the standard's operators that a model is written in."""
    return max((item.version for item in model.opset_import if item.domain in STANDARD), default=1)


def reached(graph: "onnx.GraphProto", output: str) -> list["onnx.NodeProto"]:
    """Return the nodes that an output needs, in their order."""
    wanted, nodes = {output}, []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            nodes.append(node)
    return nodes[::-1]


def constants_of(
    graph: "onnx.GraphProto", nodes: list["onnx.NodeProto"]
) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and value of every constant: initialisers, and nodes that only hold one."""
    from onnx import numpy_helper

    for item in graph.initializer:
        bare = is_weightless(item)
        value = torch.empty(tuple(item.dims), device="meta") if bare else None
        yield item.name, _tensor(numpy_helper.to_array(item)) if value is None else value
    for node in nodes:
        if node.op_type == "Constant":
            [(kind, value)] = attributes_of(node).items()
            yield (
                node.output[0],
                _tensor(numpy_helper.to_array(value) if kind == "value" else value),
            )


def is_weightless(item: "onnx.TensorProto") -> bool:
    """Whether a float constant has a shape and no values, as in a graph beside its weights."""
    return item.data_type == 1 and all(item.dims) and not (item.raw_data or item.float_data)


def _tensor(value: Any) -> Tensor:
    import numpy as np

    return torch.from_numpy(np.array(value, order="C"))
