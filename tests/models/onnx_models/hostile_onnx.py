"""Recognisers that would harm the machine that runs them, by what they would do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.models import odd_onnx

LARGE = 1 << 33  # elements: 32 GiB of floats
ADD = [helper.make_node("Add", ["mean", "big"], ["sum"], "add")]
END = [helper.make_node("Flatten", ["sum"], ["emb"], "flatten")]


def constant(name: str, values, kind=np.int64) -> TensorProto:
    return numpy_helper.from_array(np.array(values, kind), name)


def _beside(path: Path, nodes: list, *constants: TensorProto, **more) -> None:
    """A recogniser to whose embedding the value `big` is added."""
    body = [*nodes, *odd_onnx.body(), *ADD, *END]
    odd_onnx.write(path, nodes=body, constants=constants, **more)


def _sized(path: Path, operator: str, inputs: list[str], *constants: TensorProto) -> None:
    """`big` is the mean of a value whose size the constants say."""
    nodes = [
        helper.make_node(operator, inputs, ["huge"], "huge"),
        helper.make_node("Cast", ["huge"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["big"], keepdims=0),
    ]
    _beside(path, nodes, *constants)


def endless_loop(path: Path) -> None:
    """A Loop of 2^62 rounds."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Add", ["x", "x"], ["y"]),
        ],
        "rounds",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, []),
        ],
    )
    loop = helper.make_node("Loop", ["rounds", "go", "one"], ["big"], "forever", body=body)
    _beside(
        path,
        [loop],
        constant("rounds", 1 << 62),
        constant("go", True, bool),
        constant("one", 0, np.float32),
    )


def loop_in_a_branch(path: Path) -> None:
    """A Loop inside an If."""
    endless_loop(path)
    model = onnx.load(path)
    at = next(at for at, node in enumerate(model.graph.node) if node.op_type == "Loop")
    loop = model.graph.node.pop(at)
    value = helper.make_tensor_value_info("big", TensorProto.FLOAT, [])
    branch = helper.make_graph([loop], "branch", [], [value])
    chosen = helper.make_node("If", ["go"], ["big"], then_branch=branch, else_branch=branch)
    model.graph.node.insert(0, chosen)
    onnx.save(model, path)


def scan(path: Path) -> None:
    """A Scan, whose rounds are as many as its input is long."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["row"], ["same"])],
        "rows",
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, [3, 112, 112])],
        [helper.make_tensor_value_info("same", TensorProto.FLOAT, [3, 112, 112])],
    )
    node = helper.make_node("Scan", ["data"], ["rows"], "scan", body=body, num_scan_inputs=1)
    odd_onnx.write(path, nodes=[node, *odd_onnx.body("rows"), *odd_onnx.FLATTEN])


def filled(path: Path) -> None:
    """ConstantOfShape of 32 GiB."""
    _sized(path, "ConstantOfShape", ["size"], constant("size", [LARGE]))


def expanded(path: Path) -> None:
    """Expand to 32 GiB."""
    _sized(
        path, "Expand", ["one", "size"], constant("one", 1, np.float32), constant("size", [LARGE])
    )


def tiled(path: Path) -> None:
    """Tile to 32 GiB."""
    _sized(
        path, "Tile", ["one", "size"], constant("one", [1], np.float32), constant("size", [LARGE])
    )


def counted(path: Path) -> None:
    """Range of 64 GiB."""
    ends = [constant(name, value) for name, value in (("a", 0), ("b", LARGE), ("c", 1))]
    _sized(path, "Range", ["a", "b", "c"], *ends)


def doubled(path: Path) -> None:
    """Concat with itself thirty times."""
    nodes = [
        helper.make_node("Concat", [f"x{n}", f"x{n}"], [f"x{n + 1}"], axis=0) for n in range(30)
    ]
    nodes.append(helper.make_node("ReduceMean", ["x30"], ["big"], keepdims=0))
    _beside(path, nodes, constant("x0", [1.0], np.float32))


def sized_by_pixels(path: Path) -> None:
    """A face decides how large a value is."""
    nodes = [
        helper.make_node("ReduceMax", ["data"], ["brightest"], keepdims=0),
        helper.make_node("Mul", ["brightest", "scale"], ["many"]),
        helper.make_node("Cast", ["many"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["whole", "flat"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["huge"], "huge"),
        helper.make_node("ReduceMean", ["huge"], ["big"], keepdims=0),
    ]
    _beside(path, nodes, constant("scale", 1e9, np.float32), constant("flat", [1]))


def claimed(path: Path) -> None:
    """A constant that says it has 32 GiB, of which none are there."""
    empty = TensorProto(name="huge", data_type=TensorProto.FLOAT, dims=[LARGE], raw_data=b"\0" * 4)
    mean = helper.make_node("ReduceMean", ["huge"], ["big"], keepdims=0)
    _beside(path, [mean], empty)


def sparse(path: Path) -> None:
    """One number, stored as a sparse tensor of 32 GiB."""
    filled(path)
    model = onnx.load(path)
    del model.graph.node[0], model.graph.initializer[1]
    values, places = constant("huge", [1.0], np.float32), constant("places", [3])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [LARGE]))
    onnx.save(model, path)


def functions_without_end(path: Path) -> None:
    """Thirty functions, each of which calls the next one twice."""
    odd_onnx.write(path)
    model = onnx.load(path)
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    for number in range(30):
        called = ("Identity", "") if number == 29 else (f"F{number + 1}", "own")
        nodes = [helper.make_node(called[0], [a], [b], domain=called[1]) for a, b in ("xy", "yz")]
        made = helper.make_function("own", f"F{number}", ["x"], ["z"], nodes, opsets)
        model.functions.append(made)
    model.opset_import.append(opsets[1])
    last = model.graph.node[-1]
    model.graph.node.append(helper.make_node("F0", ["flat"], ["emb"], domain="own"))
    last.output[0] = "flat"
    onnx.save(model, path)


def function_of_itself(path: Path) -> None:
    """A function that calls itself."""
    functions_without_end(path)
    model = onnx.load(path)
    del model.functions[1:]
    for node in model.functions[0].node:
        node.op_type = "F0"
    onnx.save(model, path)


def _external(path: Path, location: str) -> None:
    odd_onnx.with_external(odd_onnx.write(path), "w.bin")
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = location if entry.key == "location" else entry.value
    path.write_bytes(model.SerializeToString())


def weights_above(path: Path) -> None:
    """Weights in the folder above."""
    _external(path, "../w.bin")
    (path.parent / "w.bin").replace(path.parent.parent / "w.bin")


def weights_by_absolute_path(path: Path) -> None:
    """Weights at an absolute path."""
    _external(path, str(path.parent / "w.bin"))


def weights_of_a_device(path: Path) -> None:
    """Weights that are a link to /dev/zero."""
    _external(path, "zero.bin")
    (path.parent / "zero.bin").symlink_to("/dev/zero")


def weights_by_a_link(path: Path) -> None:
    """Weights that are a link out of the folder."""
    _external(path, "w.bin")
    away = path.parent.parent / "away.bin"
    (path.parent / "w.bin").replace(away)
    (path.parent / "w.bin").symlink_to(away)


MODELS: dict[str, Callable[[Path], None]] = {
    made.__name__: made
    for made in (
        *(endless_loop, loop_in_a_branch, scan, filled, expanded, tiled, counted, doubled),
        *(sized_by_pixels, claimed, sparse, functions_without_end, function_of_itself),
        *(weights_above, weights_by_absolute_path, weights_of_a_device, weights_by_a_link),
    )
}
