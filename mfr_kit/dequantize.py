"""Turn a block-quantised ONNX recogniser of the OpenCV Zoo into plain float32, readable by
servers of 2021 (opset 11, IR 6).
"""

import json
from pathlib import Path

import numpy as np

from mfr_kit import files

OPSET = 11
IR_VERSION = 6


def write_float32(source: Path, target: Path, lineage: dict) -> None:
    """Evaluate every DequantizeLinear once, drop what inference does not need, free the batch
    dimension, and write the file.

    The graph still takes raw RGB pixels 0..255 (its first nodes subtract 127.5 and divide by 128),
    which the metadata says.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(source))
    tensors = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    nodes = []
    renamed: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            quantised, scale, zero_point = (tensors[name] for name in node.input)
            tensors[node.output[0]] = _dequantize(quantised, scale, zero_point, **_attributes(node))
        elif node.op_type == "Reshape" and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]].reshape(tensors[node.input[1]])
        elif node.op_type == "Dropout":
            renamed[node.output[0]] = renamed.get(node.input[0], node.input[0])
        elif node.op_type != "Constant":  # the only Constant is the Dropout's ratio
            nodes.append(
                helper.make_node(
                    node.op_type,
                    [renamed.get(name, name) for name in node.input],
                    node.output,
                    node.name,
                    **_attributes(node),
                )
            )
    used = {name for node in nodes for name in node.input}
    kept = [
        numpy_helper.from_array(np.ascontiguousarray(tensors[name]), name)
        for name in sorted(used & tensors.keys())
    ]
    inputs = [item for item in model.graph.input if item.name in used and item.name not in tensors]
    outputs = list(model.graph.output)
    for value in (*inputs, *outputs):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    made = helper.make_model(
        helper.make_graph(nodes, "sface", inputs, outputs, kept),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="mfr-kit",
    )
    helper.set_model_props(
        made,
        {
            "mfr_kit.normalisation": "raw_0_255",
            "mfr_kit.lineage": json.dumps(lineage, sort_keys=True),
        },
    )
    onnx.checker.check_model(made, full_check=True)
    files.write_bytes(target, made.SerializeToString(deterministic=True))


def _attributes(node) -> dict:
    from onnx import helper

    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def _dequantize(
    quantised: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, axis: int, block_size: int
) -> np.ndarray:
    """(q - zero_point) * scale, one scale per block along an axis (the last block may be
    shorter).
    """
    length = quantised.shape[axis]
    scale, zero_point = (
        np.repeat(item, block_size, axis=axis).take(range(length), axis=axis)
        for item in (scale, zero_point)
    )
    return (quantised.astype(np.float32) - zero_point.astype(np.float32)) * scale
