"""Rules about the graph: what the runtime reads, one input, one output, weights, operations on the batch."""

import numpy as np
import onnx
from onnx import TensorProto

from mfr_kit.submission.graph import attributes
from mfr_kit.submission.rules import Row, Subject, at_least, at_most, must

HALVES = {
    getattr(TensorProto, name)
    for name in ("FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT16", "UINT16")
}
SHAPE_OPS = ("Shape", "Size")  # behind these a value is a size, no longer data
CONTROL = ("If", "Loop", "Scan")


def rows(subject: Subject) -> list[Row]:
    """Everything that can be read off the graph without running it."""
    if subject.proto is None:
        return []
    return [
        *_versions(subject),
        *_input(subject),
        *_output(subject),
        *_weights(subject),
        _batch_operations(subject),
        *_cost(subject),
    ]


def _versions(subject: Subject) -> list[Row]:
    limits, proto, result = subject.track.limits, subject.proto, []
    opset = max(
        [item.version for item in proto.opset_import if item.domain in ("", "ai.onnx")], default=0
    )
    if limits.opset is not None:
        result.append(
            at_most(
                "opset",
                limits.opset,
                opset,
                note=f"{subject.track.runtime} cannot read it: export again with --opset 11",
            )
        )
    if limits.ir is not None:
        result.append(
            at_most(
                "IR version",
                limits.ir,
                proto.ir_version,
                note=f"{subject.track.runtime} cannot read it",
            )
        )
    foreign = sorted(
        {node.domain for node in proto.graph.node if node.domain not in ("", "ai.onnx")}
    )
    result.append(
        must(
            "standard operators",
            "domain ai.onnx",
            ", ".join(foreign) or "ai.onnx",
            not foreign,
            "the server has no custom operators",
        )
    )
    result.append(
        at_least(
            "graph nodes",
            subject.track.limits.nodes,
            len(proto.graph.node),
            note="the checker refuses it: too small onnx graph",
        )
    )
    return result


def _input(subject: Subject) -> list[Row]:
    names = [item.name for item in subject.inputs]
    result = [
        must("one input", "1", str(len(names)), len(names) == 1, f"inputs: {', '.join(names)}")
    ]
    if not names:
        return result
    tensor = subject.inputs[0].type.tensor_type
    shape = [
        dim.dim_param or (dim.dim_value if dim.HasField("dim_value") else "?")
        for dim in tensor.shape.dim
    ]
    shown = "(" + ", ".join(map(str, shape)) + ")"
    result.append(
        must(
            "input shape",
            "(N, 3, 112, 112)",
            shown,
            shape[1:] == [3, 112, 112],
            "faces come as 112x112 RGB, not aligned again",
        )
    )
    free = bool(shape) and isinstance(shape[0], str)
    result.append(
        must(
            "free batch dimension",
            "free",
            str(shape[0]) if shape else "none",
            free,
            "the rules ask for ['*', 3, 112, 112]",
        )
    )
    kind = TensorProto.DataType.Name(tensor.elem_type)
    result.append(must("input type", "FLOAT", kind, kind == "FLOAT", "the server feeds float32"))
    return result


def _output(subject: Subject) -> list[Row]:
    outputs = subject.proto.graph.output
    result = [
        must(
            "one output",
            "1",
            str(len(outputs)),
            len(outputs) == 1,
            f"outputs: {', '.join(item.name for item in outputs)}",
        )
    ]
    if outputs and outputs[0].type.tensor_type.HasField("shape"):
        rank = len(outputs[0].type.tensor_type.shape.dim)
        result.append(
            must(
                "output rank", "2", str(rank), rank == 2, "a row of numbers for each face is wanted"
            )
        )
    return result


def _weights(subject: Subject) -> list[Row]:
    least = subject.track.limits.element_bytes
    small = [
        item
        for item in subject.proto.graph.initializer
        if onnx.helper.tensor_dtype_to_np_dtype(item.data_type).itemsize < least
    ]
    inside = [
        node
        for node in subject.proto.graph.node
        if any(item.name == "value" and item.t.data_type in HALVES for item in node.attribute)
        or attributes(node).get("to") in HALVES
    ]
    kinds = sorted({TensorProto.DataType.Name(item.data_type) for item in small})
    wrong = [
        name
        for name, values in subject.constants.items()
        if values.dtype.kind == "f" and not np.isfinite(values.astype(np.float64)).all()
    ]
    halves_allowed = least < 4
    found = (
        f"{len(small)} narrower ({', '.join(kinds)}), first {small[0].name}"
        if small
        else f"all at least {least} bytes"
    )
    half = (
        f"{len(inside)} node(s), first {inside[0].name or inside[0].op_type}" if inside else "none"
    )
    return [
        must(
            "weight type",
            f">= {least} bytes an element",
            found,
            not small,
            "float16, int8, uint8 and bool constants are refused: export in float32",
        ),
        must(
            "no half or byte arithmetic",
            "any" if halves_allowed else "none",
            half,
            halves_allowed or not inside,
            "constants or casts below 32 bits stand in the graph",
        ),
        must(
            "finite weights",
            "no NaN, no infinity",
            f"{len(wrong)} bad, first {wrong[0]}" if wrong else "all finite",
            not wrong,
            "the training diverged",
        ),
    ]


def _batch_operations(subject: Subject) -> Row:
    """Look for a flip test or another batch inside the graph: operations on the faces that repeat, join or mirror them."""
    data, found = {item.name for item in subject.inputs}, []
    for node in subject.proto.graph.node:
        if data.isdisjoint(node.input) or node.op_type in SHAPE_OPS:
            continue
        data.update(node.output)
        if _mixes_batch(node, subject):
            found.append(f"{node.op_type} {node.name}".strip())
    note = "implicit batch inference is forbidden (note of 2021-07-16)"
    return must(
        "no batch inside the graph",
        "no flip, tile or join of faces",
        "; ".join(found) or "none",
        not found,
        note,
    )


def _mixes_batch(node: onnx.NodeProto, subject: Subject) -> bool:
    told, constants = attributes(node), subject.constants
    if node.op_type in CONTROL or node.op_type == "ReverseSequence":
        return True
    if node.op_type in ("Concat", "Split", "Gather", "Squeeze"):
        axes = told.get("axes", [told.get("axis", 0)])
        return any(axis == 0 for axis in axes) or (
            node.op_type == "Gather" and _reverses(constants.get(node.input[1]))
        )
    if node.op_type in ("Tile", "Expand"):
        counts = constants.get(node.input[1])
        return counts is None or (counts.size > 0 and counts.ravel()[0] > 1)
    if node.op_type == "Slice":
        steps = constants.get(node.input[4]) if len(node.input) > 4 else np.ones(1)
        return steps is None or bool((steps < 0).any())
    return False


def _reverses(indices: np.ndarray | None) -> bool:
    return indices is not None and indices.size > 3 and bool((np.diff(indices.ravel()) < 0).all())


def _cost(subject: Subject) -> list[Row]:
    parameters = sum(
        int(np.prod(item.dims))
        for item in subject.proto.graph.initializer
        if item.data_type == TensorProto.FLOAT
    )
    result = [Row("parameters", "none set", f"{parameters:,}")]
    if subject.track.limits.flops is not None:
        result.append(
            at_most(
                "multiply-adds for one image",
                subject.track.limits.flops / 1e6,
                round(multiply_adds(subject.proto) / 1e6, 1),
                "M",
            )
        )
    return result


def multiply_adds(proto: onnx.ModelProto) -> int:
    """Count the multiply-adds of convolutions and matrix products for one image."""
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    shapes = {
        item.name: [dim.dim_value for dim in item.type.tensor_type.shape.dim]
        for item in (*inferred.value_info, *inferred.output)
    }
    weights = {item.name: list(item.dims) for item in proto.graph.initializer}
    total = 0
    for node in proto.graph.node:
        if node.op_type == "Conv" and node.input[1] in weights:
            out = shapes.get(node.output[0], [0, 0, 0, 0])
            total += int(np.prod(weights[node.input[1]])) * int(np.prod(out[2:]))
        elif node.op_type in ("Gemm", "MatMul") and node.input[1] in weights:
            total += int(np.prod(weights[node.input[1]]))
    return total
