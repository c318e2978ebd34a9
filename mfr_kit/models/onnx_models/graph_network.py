"""An ONNX graph as a torch network, for the operators that recognisers use (graph_operators.py).

Every float constant of more than one value is an `nn.Parameter` under the name that the file has
for it, dots and all (`layer1.0.conv1.weight`), so the network can be trained, saved and named like
any other; running means and variances, and single numbers, are buffers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mfr_kit.errors import KitError
from mfr_kit.models.onnx_models.graph_operators import OPERATORS
from mfr_kit.models.onnx_models.graph_shapes import Absent
from mfr_kit.models.onnx_models.onnx_file import printable

if TYPE_CHECKING:
    import onnx

STANDARD = ("", "ai.onnx")  # the names of the standard's own operators


@dataclass(frozen=True)
class Step:
    """One node: `run(network, inputs, attributes)` gives its outputs."""

    run: Callable[..., Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    last: tuple[str, ...]  # values that no later step reads


class GraphNetwork(nn.Module):
    """The function of a graph with one input and one output that is kept.

    `forward` takes what the graph takes, (N, 3, 112, 112) or (N, 112, 112, 3) of its own type and
    scale, and gives what it gives. In `train()` batch norms and dropout behave as torch's.

    Args:
        model: whole, with its weights.
        output: name of the output; default: the first one.
        name: what errors call the model.
    Raises:
        KitError: an operator that graph_operators.py has not; it is named.
    """

    def __init__(
        self, model: "onnx.ModelProto", output: str | None = None, name: str = "the graph"
    ):
        super().__init__()
        graph = model.graph
        _refuse_unknown(model, name)
        self.weights = nn.Module()
        self._places: dict[str, tuple[str, ...]] = {}
        self._numbers: dict[str, Tensor] = {}
        nodes = _reached(graph, output or graph.output[0].name)
        kept = {entry for node in nodes for entry in node.input}
        running = {
            entry
            for node in nodes
            if node.op_type == "BatchNormalization"
            for entry in node.input[3:]
        }
        for key, value in _constants(graph, nodes):
            if key in kept:
                self._keep(key, value, trained=value.numel() > 1 and key not in running)
        held = {*self._places, *self._numbers}
        self.input = next(item.name for item in graph.input if item.name not in held)
        self.output = output or graph.output[0].name
        self._steps = _steps([node for node in nodes if node.op_type != "Constant"], self.output)
        self._name = name

    def forward(self, faces: Tensor) -> Tensor:
        values: dict[str, Any] = {"": None, self.input: faces, **self._numbers}
        for key, place in self._places.items():
            owner: Any = self.weights
            for part in place:
                owner = getattr(owner, part)
            values[key] = owner
        for step in self._steps:
            try:
                inputs = _together([values[entry] for entry in step.inputs])
                found = step.run(self, inputs, step.attributes)
            except (Absent, RuntimeError, IndexError, TypeError) as error:
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                reason = printable(error)[:200]
                raise KitError(
                    f"{self._name}: torch cannot run the node that makes "
                    f"'{printable(step.outputs[0])}': {reason}"
                ) from None
            values.update(zip(step.outputs, found, strict=False))
            for entry in step.last:
                values.pop(entry, None)
        return values[self.output]

    def _keep(self, key: str, value: Tensor, trained: bool) -> None:
        """Register one constant; whole numbers are shapes and stay plain tensors on the CPU."""
        if not value.is_floating_point():
            self._numbers[key] = value
            return
        owner, place = self.weights, []
        *rooms, last = key.replace("/", ".").strip(".").split(".") or [key]
        for part in rooms:
            room = _free(owner, part, nn.Module)
            if not hasattr(owner, room):
                owner.add_module(room, nn.Module())
            owner = getattr(owner, room)
            place.append(room)
        last = _free(owner, last, None)
        if trained:
            owner.register_parameter(last, nn.Parameter(value))
        else:
            owner.register_buffer(last, value)
        self._places[key] = (*place, last)


def _together(inputs: list[Any]) -> list[Any]:
    """Bring numbers and truths that were made of shapes, on the CPU, to the device of the others;
    whole numbers stay.
    """
    found = {x.device for x in inputs if isinstance(x, Tensor) and _travels(x)}
    there = next((device for device in found if device.type != "cpu"), None)
    if there is None:
        return inputs
    return [x.to(there) if isinstance(x, Tensor) and _travels(x) else x for x in inputs]


def _travels(value: Tensor) -> bool:
    return value.is_floating_point() or value.dtype == torch.bool


def _free(owner: nn.Module, name: str, kind: type | None) -> str:
    """A name that `owner` does not have, or has for a room where `kind` is nn.Module."""
    name = name or "_"
    while hasattr(owner, name) and not (kind and type(getattr(owner, name)) is kind):
        name += "_"
    return name


def _refuse_unknown(model: "onnx.ModelProto", name: str) -> None:
    for node in model.graph.node:
        if node.domain not in STANDARD or node.op_type not in (*OPERATORS, "Constant"):
            raise KitError(
                f"{name}: torch cannot run its operator "
                f"{printable(node.op_type)} (node '{printable(node.name or node.output[0])}')"
            )


def _reached(graph: "onnx.GraphProto", output: str) -> list["onnx.NodeProto"]:
    """The nodes that an output needs, in their order."""
    wanted, nodes = {output}, []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            nodes.append(node)
    return nodes[::-1]


def _constants(graph: "onnx.GraphProto", nodes: list["onnx.NodeProto"]):
    """Yield the name and value of every constant: initialisers, and nodes that only hold one."""
    from onnx import helper, numpy_helper

    for item in graph.initializer:
        yield item.name, _tensor(numpy_helper.to_array(item))
    for node in nodes:
        if node.op_type == "Constant":
            value = helper.get_attribute_value(node.attribute[0])
            if node.attribute[0].name == "value":
                value = numpy_helper.to_array(value)
            yield node.output[0], _tensor(value)


def _tensor(value: Any) -> Tensor:
    import numpy as np

    return torch.from_numpy(np.array(value, order="C"))


def _steps(nodes: list["onnx.NodeProto"], output: str) -> list[Step]:
    from onnx import helper

    read, steps = {output}, []
    for node in reversed(nodes):
        entries = {entry for entry in node.input if entry}
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        steps.append(
            Step(
                OPERATORS[node.op_type],
                tuple(node.input),
                tuple(node.output),
                attributes,
                tuple(sorted(entries - read)),
            )
        )
        read |= entries
    return steps[::-1]
