"""Rules about the graph: what the runtime reads, one input, one output, weights, cost."""

import math

import numpy as np
import onnx
from onnx import TensorProto

from mfr_kit.submission.checks.batch import attributes
from mfr_kit.submission.rules import Row, Subject, at_least, at_most, judge, requirement

HALVES = {
    getattr(TensorProto, name)
    for name in ("FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT16", "UINT16")
}


def rows(subject: Subject) -> list[Row]:
    """Everything that can be read off the graph without running it."""
    if subject.proto is None:
        return []
    parts = {
        "versions and operators": _versions,
        "input": _input,
        "output": _output,
        "weight type": _weight_types,
        "no half or byte arithmetic": _half_arithmetic,
        "finite weights": _finite_weights,
        "cost": _cost,
    }
    return [row for rule, part in parts.items() for row in judge(rule, part, subject)]


def _versions(subject: Subject) -> list[Row]:
    limits, proto, result = subject.track.limits, subject.parsed, []
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
        requirement(
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
        requirement(
            "one input", "1", str(len(names)), len(names) == 1, f"inputs: {', '.join(names)}"
        )
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
        requirement(
            "input shape",
            "(N, 3, 112, 112)",
            shown,
            shape[1:] == [3, 112, 112],
            "faces come as 112x112 RGB, not aligned again",
        )
    )
    free = bool(shape) and isinstance(shape[0], str)
    result.append(
        requirement(
            "free batch dimension",
            "free",
            str(shape[0]) if shape else "none",
            free,
            "the rules ask for ['*', 3, 112, 112]",
        )
    )
    kind = _kind_name(tensor.elem_type)
    result.append(
        requirement("input type", "FLOAT", kind, kind == "FLOAT", "the server feeds float32")
    )
    return result


def _output(subject: Subject) -> list[Row]:
    outputs = subject.parsed.graph.output
    result = [
        requirement(
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
            requirement(
                "output rank", "2", str(rank), rank == 2, "a row of numbers for each face is wanted"
            )
        )
    return result


def _weight_types(subject: Subject) -> list[Row]:
    """Narrow types, types that ONNX does not know, and tensors whose bytes do not fill their
    shape.
    """
    least, kinds = subject.track.limits.element_bytes, []
    for item in subject.parsed.graph.initializer:
        size = _element_bytes(item.data_type)
        if size < least:
            kinds.append((_kind_name(item.data_type), item.name))
    shown = ", ".join(sorted({kind for kind, _ in kinds}))
    found = (
        f"{len(kinds)} narrower ({shown}), first {kinds[0][1]}"
        if kinds
        else f"all at least {least} bytes"
    )
    broken = subject.unreadable
    return [
        requirement(
            "weight type",
            f">= {least} bytes an element",
            found,
            not kinds,
            "float16, int8, uint8, bool and undefined constants are refused: export in float32",
        ),
        requirement(
            "weights fill their shapes",
            "all",
            f"{len(broken)} do not, first {broken[0]}" if broken else "all",
            not broken,
            "a tensor's bytes and its shape or type do not fit: the file is damaged",
        ),
    ]


def _half_arithmetic(subject: Subject) -> list[Row]:
    halves_allowed = subject.track.limits.element_bytes < 4
    inside = [
        node
        for node in subject.parsed.graph.node
        if any(item.name == "value" and item.t.data_type in HALVES for item in node.attribute)
        or attributes(node).get("to") in HALVES
    ]
    half = (
        f"{len(inside)} node(s), first {inside[0].name or inside[0].op_type}" if inside else "none"
    )
    return [
        requirement(
            "no half or byte arithmetic",
            "any" if halves_allowed else "none",
            half,
            halves_allowed or not inside,
            "constants or casts below 32 bits stand in the graph",
        )
    ]


def _finite_weights(subject: Subject) -> list[Row]:
    wrong = [
        name
        for name, values in subject.constants.items()
        if values.dtype.kind == "f" and not np.isfinite(values.astype(np.float64)).all()
    ]
    return [
        requirement(
            "finite weights",
            "no NaN, no infinity",
            f"{len(wrong)} bad, first {wrong[0]}" if wrong else "all finite",
            not wrong,
            "the training diverged",
        )
    ]


def _element_bytes(data_type: int) -> int:
    """Bytes of an element; 0 for a type that ONNX does not know, or whose elements have no fixed
    size.
    """
    if data_type == TensorProto.STRING:
        return 0
    try:
        return onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize
    except (KeyError, TypeError, ValueError):
        return 0


def _kind_name(data_type: int) -> str:
    known = data_type in TensorProto.DataType.values()
    return TensorProto.DataType.Name(data_type) if known else f"type {data_type}"


def _cost(subject: Subject) -> list[Row]:
    parameters = sum(
        math.prod(item.dims)
        for item in subject.parsed.graph.initializer
        if item.data_type == TensorProto.FLOAT
    )
    result = [Row("parameters", "none set", f"{parameters:,}")]
    if subject.track.limits.flops is not None:
        result.append(
            at_most(
                "multiply-adds for one image",
                subject.track.limits.flops / 1e6,
                round(multiply_adds(subject.parsed) / 1e6, 1),
                "M",
            )
        )
    return result


def multiply_adds(proto: onnx.ModelProto) -> int:
    """Count the multiply-adds of convolutions and matrix products for one image."""
    shapes = _shapes_of_one(proto)
    weights = {item.name: list(item.dims) for item in proto.graph.initializer}
    total = 0
    for node in proto.graph.node:
        if len(node.input) < 2 or not node.output:
            continue
        weight, out = weights.get(node.input[1]), shapes.get(node.output[0], [])
        if node.op_type == "Conv" and weight is not None:
            total += math.prod(weight) * math.prod(out[2:] if out else [0])
        elif node.op_type == "MatMul" and out and all(out):
            second = weight or shapes.get(node.input[1], [0])
            total += math.prod(out) * second[max(len(second) - 2, 0)]
        elif node.op_type in ("Gemm", "MatMul") and weight is not None:
            total += math.prod(weight)
    return total


def _shapes_of_one(proto: onnx.ModelProto) -> dict[str, list[int]]:
    """Infer the shape of every value for one image, 0 where a side is not known; shapes that the
    graph computes are not followed.
    """
    alone = onnx.ModelProto()
    alone.CopyFrom(proto)
    del alone.graph.value_info[:]
    constants = {item.name for item in alone.graph.initializer}
    for item in alone.graph.input:
        sides = item.type.tensor_type.shape.dim
        if item.name not in constants and len(sides) == 4:
            sides[0].dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(alone, data_prop=True).graph
    return {
        item.name: [dim.dim_value for dim in item.type.tensor_type.shape.dim]
        for item in (*inferred.value_info, *inferred.output)
    }
