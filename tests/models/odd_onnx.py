"""Small recognisers in the odd shapes that other exporters leave: a convolution, its mean over
the image, D = 8.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

D = 8
WEIGHTS = (np.random.default_rng(0).standard_normal((D, 3, 16, 16)) * 0.05).astype(np.float32)
FLATTEN = [helper.make_node("Flatten", ["mean"], ["emb"], "flatten")]


def body(start="data", activation="Relu", slopes=()):
    """Convolution, activation and mean; the output is `mean`, (N, D, 1, 1)."""
    return [
        helper.make_node("Conv", [start, "w"], ["conv"], "conv1", strides=[16, 16]),
        helper.make_node(activation, ["conv", *slopes], ["act"], "act1"),
        helper.make_node("GlobalAveragePool", ["act"], ["mean"], "pool"),
    ]


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def write(
    path, nodes=None, inputs=None, outputs=None, constants=(), kind=TensorProto.FLOAT, **more
):
    """Write a model; `more` may hold `ir`, `opset` and `metadata`. Returns the path."""
    weights = WEIGHTS.astype(helper.tensor_dtype_to_np_dtype(kind))
    graph = helper.make_graph(
        nodes or body() + FLATTEN,
        "odd",
        inputs or [value("data", ["N", 3, 112, 112], kind)],
        outputs or [value("emb", ["N", D], kind)],
        [numpy_helper.from_array(weights, "w"), *constants],
    )
    opsets = [helper.make_opsetid("", more.get("opset", 13))]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=more.get("ir", 7))
    helper.set_model_props(model, more.get("metadata", {}))
    path.write_bytes(model.SerializeToString())
    return path


def cast_first(kind):
    """Keywords for an input of another type that the graph casts itself."""
    cast = helper.make_node("Cast", ["data"], ["float"], "cast", to=TensorProto.FLOAT)
    return {
        "nodes": [cast, *body("float"), *FLATTEN],
        "inputs": [value("data", ["N", 3, 112, 112], kind)],
    }


def reshape(*sizes):
    """Keywords for a graph that ends in a Reshape to constant sizes."""
    return {
        "nodes": [*body(), helper.make_node("Reshape", ["mean", "sizes"], ["emb"], "reshape")],
        "constants": [numpy_helper.from_array(np.array(sizes, np.int64), "sizes")],
        "outputs": [value("emb", None)],
    }


def with_external(path, location):
    """Move the weights of a written model to another file beside it."""
    onnx.save_model(
        onnx.load(path), path, save_as_external_data=True, location=location, size_threshold=0
    )
    return path


def expected(faces, scale=True):
    """(B, D) as NumPy computes it; `scale` for faces fed as (pixel - 127.5) / 127.5."""
    planes = faces.transpose(0, 3, 1, 2).astype(np.float64)
    planes = (planes - 127.5) / 127.5 if scale else planes
    patches = planes.reshape(len(faces), 3, 7, 16, 7, 16)
    maps = np.einsum("ncyixj,dcij->ndyx", patches, WEIGHTS.astype(np.float64))
    return np.maximum(maps, 0).mean(axis=(2, 3))
