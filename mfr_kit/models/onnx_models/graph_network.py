"""An ONNX graph as a torch network, for the operators that recognisers use (graph_operators.py).

Every float constant of more than one value is an `nn.Parameter` under the name that the file has
for it, dots and all (`layer1.0.conv1.weight`), so the network can be trained, saved and named like
any other; single numbers are buffers, and batch norms torch's own modules.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mfr_kit.errors import KitError
from mfr_kit.models.onnx_models.graph_constants import (
    STANDARD,
    attributes_of,
    bounds_of,
    constants_of,
    is_norm,
    make_norm,
    name_norm,
    opset_of,
    reached,
)
from mfr_kit.models.onnx_models.graph_operators import OPERATORS
from mfr_kit.models.onnx_models.graph_shapes import Absent
from mfr_kit.models.onnx_models.onnx_file import printable

if TYPE_CHECKING:
    import onnx

# what a vector along one axis of a map is to: it is kept as a vector, as torch's own layers keep it
BY_CHANNEL = {"PRelu", "Add", "Sub", "Mul", "Div"}


@dataclass(frozen=True)
class Step:
    """One node: `run(network, inputs, attributes)` gives its outputs."""

    run: Callable[..., Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    last: tuple[str, ...]  # values that no later step reads
    norm: tuple[str, ...] | None = None  # where a batch norm's module is


class GraphNetwork(nn.Module):
    """The function of a graph with one input and one output that is kept.

    `forward` takes what the graph takes, (N, 3, 112, 112) or (N, 112, 112, 3) of its own type and
    scale, and gives what it gives. In `train()` batch norms and dropout behave as torch's.

    Args:
        model: whole, with its weights.
        output: name of the output; default: the first one.
        name: what errors call the model.
        fixed: constants that are no parameters, by their names in the graph.
    Raises:
        KitError: an operator that graph_operators.py has not; it is named.
    """

    # of a student: see student_graph.py
    normalisation: str = "minus1_to_1"
    embedding_size: int = 0
    graph: bytes = b""

    def __init__(
        self,
        model: "onnx.ModelProto",
        output: str | None = None,
        name: str = "the graph",
        fixed: Collection[str] = (),
    ):
        super().__init__()
        graph = model.graph
        _refuse_unknown(model, name)
        self.weights = nn.Module()
        self._places: dict[str, tuple[str, ...]] = {}
        self._shapes: dict[str, torch.Size] = {}
        self._numbers: dict[str, Tensor] = {}
        self._norms: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.output = output or graph.output[0].name
        nodes = reached(graph, self.output)
        constants = dict(constants_of(graph, nodes))
        for node in nodes:
            if is_norm(node, constants) and tuple(node.input[1:]) not in self._norms:
                owner, rooms, last = self._room(name_norm(node))
                last = _free(owner, last, None)
                owner.add_module(last, make_norm(node, constants))
                self._norms[tuple(node.input[1:])] = (*rooms, last)
        readers: dict[str, set[str]] = {}
        running: set[str] = set(fixed)
        for node in nodes:
            for entry in self._inputs_of(node, constants):
                readers.setdefault(entry, set()).add(node.op_type)
            running.update(node.input[3:] if node.op_type == "BatchNormalization" else ())
        for key, value in constants.items():
            if key in readers:
                trained = value.numel() > 1 and key not in running
                self._keep(key, value, trained, readers[key] <= BY_CHANNEL)
        self.input = next(item.name for item in graph.input if item.name not in constants)
        self._steps = self._steps_of(nodes, constants, opset_of(model))
        self._name = name

    def forward(self, faces: Tensor) -> Tensor:
        return self.evaluate(faces)[self.output]

    def evaluate(self, faces: Tensor, forget: bool = True) -> dict[str, Any]:
        """Return values by their names in the graph: the output's and the constants', with `forget`
        False all there are.
        """
        values: dict[str, Any] = {"": None, self.input: faces, **self._numbers}
        for key, place in self._places.items():
            value = self._at(place)
            values[key] = value.view(self._shapes[key]) if key in self._shapes else value
        for step in self._steps:
            try:
                inputs = _together([values[entry] for entry in step.inputs])
                found = step.run(self, inputs, step.attributes)
            except (Absent, RuntimeError, IndexError, TypeError, ValueError) as error:
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                reason = printable(error)[:200]
                raise KitError(
                    f"{self._name}: torch cannot run the node that makes "
                    f"'{printable(step.outputs[0])}': {reason}"
                ) from None
            values.update(zip(step.outputs, found, strict=False))
            for entry in step.last if forget else ():
                values.pop(entry, None)
        return values

    def parameters_by_layer(self) -> list[list[nn.Parameter]]:
        """Group the parameters by layer, in the order in which the graph computes with them: a
        layer is a matrix or a bank of filters with the vectors behind it.
        """
        layers: list[list[nn.Parameter]] = []
        seen: set[int] = set()
        for step in self._steps:
            for value in self._parameters_of(step):
                if id(value) in seen:
                    continue
                seen.add(id(value))
                if value.ndim > 1 or not layers:
                    layers.append([])
                layers[-1].append(value)
        return layers

    def _parameters_of(self, step: Step) -> list[nn.Parameter]:
        norm = self._at(step.norm) if step.norm else None
        found = [self._at(self._places[entry]) for entry in step.inputs if entry in self._places]
        found += [norm.weight, norm.bias] if norm is not None else []
        return [value for value in found if isinstance(value, nn.Parameter)]

    def _at(self, place: tuple[str, ...]) -> Any:
        owner: Any = self.weights
        for part in place:
            owner = getattr(owner, part)
        return owner

    def _norm_of(self, node: "onnx.NodeProto") -> tuple[str, ...] | None:
        is_norm = node.op_type == "BatchNormalization"
        return self._norms.get(tuple(node.input[1:])) if is_norm else None

    def _room(self, key: str) -> tuple[nn.Module, list[str], str]:
        """The module that a constant lies in by its name, the way there, and its name there."""
        owner, place = self.weights, []
        *rooms, last = key.replace("/", ".").strip(".").split(".") or [key]
        for part in rooms:
            room = _free(owner, part, nn.Module)
            if not hasattr(owner, room):
                owner.add_module(room, nn.Module())
            owner = getattr(owner, room)
            place.append(room)
        return owner, place, last

    def _keep(self, key: str, value: Tensor, trained: bool, by_channel: bool) -> None:
        """Register one constant; whole numbers are shapes and stay plain tensors on the CPU."""
        if not value.is_floating_point():
            value.numbers = value.flatten().tolist()  # type: ignore[attr-defined]
            self._numbers[key] = value
            return
        owner, place, last = self._room(key)
        last = _free(owner, last, None)
        if by_channel and value.dim() > 1 and value.numel() == max(value.shape) > 1:
            self._shapes[key], value = value.shape, value.flatten()
        if trained:
            owner.register_parameter(last, nn.Parameter(value))
        else:
            owner.register_buffer(last, value)
        self._places[key] = (*place, last)

    def _inputs_of(self, node: "onnx.NodeProto", constants: dict[str, Tensor]) -> tuple[str, ...]:
        """The inputs that a step reads while it runs: not those of a norm's module, nor bounds."""
        first_only = self._norm_of(node) or bounds_of(node, constants)
        return tuple(node.input[:1] if first_only else node.input)

    def _steps_of(
        self, nodes: list["onnx.NodeProto"], constants: dict[str, Tensor], opset: int
    ) -> list[Step]:
        read, steps = {self.output}, []
        for node in reversed([node for node in nodes if node.op_type != "Constant"]):
            norm, inputs = self._norm_of(node), self._inputs_of(node, constants)
            attributes = attributes_of(node) | bounds_of(node, constants)
            entries = {entry for entry in inputs if entry}
            if node.op_type == "Softmax" and opset < 13:
                attributes = {"axis": 1, **attributes, "flat": True}
            if node.op_type == "Split":
                attributes = {**attributes, "outputs": len(node.output)}
            run = _norm_at(norm) if norm else OPERATORS[node.op_type]
            gone = tuple(sorted(entries - read))
            steps.append(Step(run, inputs, tuple(node.output), attributes, gone, norm))
            read |= entries
        return steps[::-1]


def _norm_at(place: tuple[str, ...]) -> Callable[..., Any]:
    return lambda network, inputs, attributes: (network._at(place)(inputs[0]),)


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
