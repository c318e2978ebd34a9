"""Twelve ways to spoil a good model; each takes the good one's path and writes `model.onnx` into
a folder.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from mfr_kit.models import weights
from mfr_kit.submission import export


def float16_weights(good, folder):
    model = onnx.load(good)
    weight = first_weight(model)
    name = weight.name
    weight.CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), f"{name}.half")
    )
    model.graph.node.insert(
        0, helper.make_node("Cast", [f"{name}.half"], [name], "widen", to=TensorProto.FLOAT)
    )
    onnx.save(model, folder / "model.onnx")


def two_outputs(good, folder):
    model = onnx.load(good)
    model.graph.output.append(
        helper.make_tensor_value_info(model.graph.node[0].output[0], TensorProto.FLOAT, None)
    )
    onnx.save(model, folder / "model.onnx")


def fixed_batch(good, folder):
    model = onnx.load(good)
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, folder / "model.onnx")


def input_96x112(good, folder):
    model = onnx.load(good)
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 96
    onnx.save(model, folder / "model.onnx")


def nan_weights(good, folder):
    model = onnx.load(good)
    weight = first_weight(model)
    values = numpy_helper.to_array(weight).copy()
    values.flat[0] = np.nan
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(model, folder / "model.onnx")


def wide_embedding(good, folder):
    export.export_module(
        weights.build_backbone("mobilefacenet", 2048, 0.25),
        folder / "model.onnx",
        metadata_of(good),
    )


def flip_test(good, folder):
    model = onnx.load(good)
    graph, pixels = model.graph, model.graph.input[0].name
    for node in graph.node:
        node.input[:] = ["both" if name == pixels else name for name in node.input]
    for name, values in (("from", [-1]), ("to", [-1000]), ("axis", [3]), ("step", [-1])):
        graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
    graph.node.insert(
        0, helper.make_node("Slice", [pixels, "from", "to", "axis", "step"], ["mirrored"], "flip")
    )
    graph.node.insert(1, helper.make_node("Concat", [pixels, "mirrored"], ["both"], "join", axis=0))
    out = graph.output[0].name
    graph.node[-1].output[0] = "features"
    graph.node.append(helper.make_node("Split", ["features"], ["plain", "turned"], "part", axis=0))
    graph.node.append(helper.make_node("Add", ["plain", "turned"], [out], "sum"))
    onnx.save(model, folder / "model.onnx")


def external_data(good, folder):
    model = onnx.load(good)
    onnx.save(
        model,
        folder / "model.onnx",
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=0,
    )


def seven_nodes(good, folder):
    tiny = nn.Sequential(
        nn.Conv2d(3, 8, 8, 8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 7, 7),
        nn.ReLU(),
        nn.Conv2d(8, 8, 1),
        nn.Flatten(),
        nn.Linear(32, 16),
    )
    export.export_module(tiny, folder / "model.onnx", metadata_of(good))


def swapped_channels(good, folder):
    model = onnx.load(good)
    weight = first_weight(model)
    weight.CopyFrom(
        numpy_helper.from_array(
            np.ascontiguousarray(numpy_helper.to_array(weight)[:, ::-1]), weight.name
        )
    )
    onnx.save(model, folder / "model.onnx")


def hidden_normalisation(good, folder):
    onnx.save(with_normalisation(onnx.load(good), "stem_a", "stem_b"), folder / "model.onnx")


def truncated(good, folder):
    data = good.read_bytes()
    (folder / "model.onnx").write_bytes(data[: len(data) // 2])


ALL = {
    item.__name__: item
    for item in (
        float16_weights,
        two_outputs,
        fixed_batch,
        input_96x112,
        nan_weights,
        wide_embedding,
        flip_test,
        external_data,
        seven_nodes,
        swapped_channels,
        hidden_normalisation,
        truncated,
    )
}


def with_normalisation(model, shift_name, scale_name):
    """Put (pixel - 127.5) * (1 / 127.5) in front of a graph that wants it outside."""
    pixels = model.graph.input[0].name
    for node in model.graph.node:
        node.input[:] = ["scaled" if name == pixels else name for name in node.input]
    for name, value in (("mean", 127.5), ("factor", 1 / 127.5)):
        model.graph.initializer.append(numpy_helper.from_array(np.array([value], np.float32), name))
    model.graph.node.insert(0, helper.make_node("Sub", [pixels, "mean"], ["shifted"], shift_name))
    model.graph.node.insert(
        1, helper.make_node("Mul", ["shifted", "factor"], ["scaled"], scale_name)
    )
    return model


def first_weight(model):
    name = model.graph.node[0].input[1]
    return next(item for item in model.graph.initializer if item.name == name)


def metadata_of(good):
    return {
        item.key: item.value
        for item in onnx.load(good).metadata_props
        if "embedding_size" not in item.key
    }
