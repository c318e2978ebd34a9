"""A made-up network of SCRFD's shape that finds painted spots, and what it must find, worked out
from the spots alone.

Three strides with two anchors each. The first anchor of stride 8 fires on green, that of 16 on red,
that of 32 on blue, the second anchor of stride 8 on white, where a whole cell has the colour. Boxes
and points depend on the stride, the anchor and the colour.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STRIDES, ANCHORS = (8, 16, 32), 2
COLOURS = {8: (0, 255, 0), 16: (255, 0, 0), 32: (0, 0, 255)}  # of the first anchor
WHITE = (255, 255, 255)
WIDTHS = {"score": 1, "box": 4, "points": 10}


def weights(stride: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each output (A * width, 3) factors of the colour, in [-1, 1], and (A * width,) bias."""
    rng = np.random.default_rng(stride)
    white = [[30, 30, 30]] if stride == 8 else [[0, 0, 0]]
    tint = np.where(np.array(COLOURS[stride]) > 0, 60, -30)
    made = {"score": (np.array([tint, *white], np.float32), np.array([-12, -45], np.float32))}
    for kind in ("box", "points"):
        rows = ANCHORS * WIDTHS[kind]
        bias = rng.uniform(4, 7, rows) if kind == "box" else rng.uniform(-3, 3, rows)
        made[kind] = rng.uniform(-0.3, 0.3, (rows, 3)).astype(np.float32), bias.astype(np.float32)
    return made


def expected(stride: int, anchor: int, colour: tuple[int, int, int], column: int, row: int):
    """The (left, top, width, height) and the (5, 2) points that a spot in one cell stands for."""
    value = (np.array(colour, np.float64) - 127.5) / 128
    found = {kind: factors @ value + bias for kind, (factors, bias) in weights(stride).items()}
    corner = np.array([column, row]) * stride
    left, top, right, bottom = stride * found["box"].reshape(ANCHORS, 4)[anchor]
    points = corner + stride * found["points"].reshape(ANCHORS, 5, 2)[anchor]
    return np.array([corner[0] - left, corner[1] - top, left + right, top + bottom]), points


def paint(image: np.ndarray, stride: int, colour: tuple[int, int, int], column: int, row: int):
    """Paint one cell, in place."""
    image[row * stride : (row + 1) * stride, column * stride : (column + 1) * stride] = colour


def write_scrfd(
    path: Path,
    side: int | None = None,
    kinds: tuple[str, ...] = ("score", "box", "points"),
    interleaved: bool = False,
    batch: int | str = 1,
    rank: int = 2,
) -> Path:
    """Write the network.

    Args:
        path: of the .onnx file.
        side: of a fixed input; None for any.
        kinds: of the outputs.
        interleaved: outputs a stride together instead of a kind together.
        batch: what the file says of it.
        rank: of the outputs: 2 has the rows of all pictures one after another, 3 has them apart.
    """
    nodes, constants, names = [], [], {}
    for kind, width in WIDTHS.items():
        shape = np.array([-1, width] if rank == 2 else [int(batch == 1), -1, width], np.int64)
        constants.append(numpy_helper.from_array(shape, f"{kind}_shape"))
    for stride in STRIDES:
        side_of = {"kernel_shape": [stride] * 2, "strides": [stride] * 2}
        nodes.append(helper.make_node("AveragePool", ["image"], [f"pool{stride}"], **side_of))
        for kind, (factors, bias) in weights(stride).items():
            name = f"{kind}{stride}"
            for end, value in (("w", factors[:, :, None, None]), ("b", bias)):
                constants.append(numpy_helper.from_array(value, f"{name}_{end}"))
            ends = [f"pool{stride}", f"{name}_w", f"{name}_b"]
            nodes += [
                helper.make_node("Conv", ends, [f"{name}_raw"]),
                helper.make_node("Transpose", [f"{name}_raw"], [f"{name}_t"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"{name}_t", f"{kind}_shape"], [f"{name}_r"]),
                helper.make_node(
                    "Sigmoid" if kind == "score" else "Identity", [f"{name}_r"], [name]
                ),
            ]
            free = ["rows"] if rank == 2 else [batch, "rows"]
            shape = [*free, WIDTHS[kind]]
            names[kind, stride] = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    order = [(kind, stride) for kind in kinds for stride in STRIDES]
    if interleaved:
        order = [(kind, stride) for stride in STRIDES for kind in kinds]
    sides = [side, side] if side else ["height", "width"]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, *sides])
    graph = helper.make_graph(nodes, "scrfd", [image], [names[key] for key in order], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path
