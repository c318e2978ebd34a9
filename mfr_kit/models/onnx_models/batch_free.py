"""Give somebody's graph a form that any number of faces can go through and that torch can export
again: what it computes of shapes becomes constants, and no constant says how large a batch is.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mfr_kit.errors import KitError
from mfr_kit.models.onnx_models.graph_constants import reached
from mfr_kit.models.onnx_models.graph_network import GraphNetwork
from mfr_kit.models.onnx_models.onnx_file import printable

if TYPE_CHECKING:
    import onnx

BATCHES = (2, 3)  # that are compared to tell the batch from other sizes
OF_SHAPES = ("Shape", "Size")


def free_reshapes(graph: "onnx.GraphProto", batch: int, entry: str) -> None:
    """Write a free batch into the reshapes of a graph whose batch is fixed, in place."""
    from onnx import numpy_helper

    constants = {item.name: item for item in graph.initializer}
    faces = made_of_faces(graph, entry)
    for at, node in enumerate(graph.node):
        if node.op_type != "Reshape" or node.input[0] not in faces:
            continue
        if node.input[1] not in constants:
            continue
        sizes = numpy_helper.to_array(constants[node.input[1]]).copy()
        if len(sizes) and sizes[0] == batch:
            sizes[0] = 0 if -1 in sizes else -1  # 0: as many as come in
            _give(graph, node, 1, sizes, f"mfr_kit/batch_{at}")


def made_of_faces(graph: "onnx.GraphProto", entry: str) -> set[str]:
    """Name the values that depend on the faces and not on their number alone."""
    found = {entry}
    for node in graph.node:
        if node.op_type not in OF_SHAPES and found.intersection(node.input):
            found.update(node.output)
    return found


def fold(model: "onnx.ModelProto", entry: str, faces: Tensor, name: str) -> set[str]:
    """Make constants of all that does not depend on the faces, in place.

    Args:
        model: its constants are initialisers.
        entry: the input.
        faces: three or more, as the graph takes them.
        name: what errors call the model.
    Returns:
        the new constants that come from no weights.
    Raises:
        KitError: a node torch cannot run, or one that needs the batch's size as a number.
    """
    graph = model.graph
    network = GraphNetwork(model, name=name).eval()
    with torch.inference_mode():
        seen = [network.evaluate(faces[:count], forget=False) for count in BATCHES]
    kept, held = made_of_faces(graph, entry), {item.name for item in graph.initializer}
    weighty, fixed = _made_of_weights(graph), set()
    nodes = [node for node in graph.node if kept.intersection(node.output)]
    for at, node in enumerate(nodes):
        if node.op_type == "Reshape" and node.input[0] in kept:
            shapes = [found[node.output[0]].shape for found in seen]
            what = f"{name}: the Reshape '{_name(node)}'"
            sizes = _free_sizes(shapes[0], shapes[1], what)
            held.add(_give(graph, node, 1, sizes, f"mfr_kit/shape_{at}"))
        for place, value in enumerate(node.input):
            if not value or value in kept or value in held:
                continue
            constant = _same(node, place, [_array(found[value]) for found in seen], name)
            own = f"{value}/wide" if node.op_type == "Expand" else value
            held.add(_give(graph, node, place, constant, own))
            if value not in weighty:
                fixed.add(own)
    del graph.node[:]
    graph.node.extend(nodes)
    return fixed


def _array(value: Tensor) -> np.ndarray:
    return value.detach().numpy()


def _same(node: "onnx.NodeProto", place: int, seen: list[np.ndarray], name: str) -> np.ndarray:
    """A value as it is for any batch, from what it is for two and for three faces."""
    first, second = seen
    if first.shape == second.shape:
        if np.array_equal(first, second):
            return first
        if node.op_type == "Expand" and place == 1 and np.array_equal(first[1:], second[1:]):
            return np.concatenate([np.ones(1, np.int64), first[1:]])  # others of the batch widen it
    elif first.shape[1:] == second.shape[1:] and all(
        np.array_equal(row, first[0]) for row in second
    ):
        return first[:1]  # one row for every face
    raise KitError(
        f"{name}: the {node.op_type} '{_name(node)}' computes with the number of faces in a "
        "batch, which an export would fix: export the model with a free batch"
    )


def _free_sizes(two: torch.Size, three: torch.Size, what: str) -> np.ndarray:
    differ = [at for at, pair in enumerate(zip(two, three, strict=False)) if pair[0] != pair[1]]
    if len(two) != len(three) or len(differ) > 1:
        raise KitError(f"{what} makes other dimensions of another batch: export it with one")
    return np.array([-1 if at in differ else size for at, size in enumerate(two)], np.int64)


def _made_of_weights(graph: "onnx.GraphProto") -> set[str]:
    found = {item.name for item in graph.initializer if item.data_type == 1 and len(item.dims)}
    for node in graph.node:
        if found.intersection(node.input):
            found.update(node.output)
    return found


def _give(
    graph: "onnx.GraphProto", node: "onnx.NodeProto", place: int, value: np.ndarray, name: str
) -> str:
    """Set an input of a node to a constant of its own, which is named."""
    from onnx import numpy_helper

    if all(item.name != name for item in graph.initializer):
        graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    node.input[place] = name
    return name


def _name(node: "onnx.NodeProto") -> str:
    return printable(node.name or node.output[0])


def prune(graph: "onnx.GraphProto", output: str) -> None:
    """Drop nodes and constants that an output does not need, in place."""
    nodes = reached(graph, output)
    used = {entry for node in nodes for entry in node.input}
    constants = [item for item in graph.initializer if item.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
