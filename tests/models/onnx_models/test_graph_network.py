"""ONNX graphs as torch networks: operators against onnxruntime, whole recognisers, training."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from mfr_kit.errors import KitError
from mfr_kit.models.onnx_models.graph_network import GraphNetwork
from mfr_kit.models.onnx_models.runtime import open_session
from mfr_kit.models.weights import build_backbone
from mfr_kit.seeding import rng_for
from mfr_kit.submission import export

SHAPE = (2, 6, 5, 4)  # of `x`


def values(*shape: int, seed: int = 1) -> np.ndarray:
    return rng_for(seed).standard_normal(shape).astype(np.float32)


def numbers(*whole: int) -> np.ndarray:
    return np.array(whole, np.int64)


def graph_of(kind, constants=(), shape=SHAPE, opset=13, outputs=1, **attributes):
    """A model of one node whose first input is `x`; the others are constants."""
    names = [f"room.{at}" for at in range(len(constants))]
    made = [f"y{at}" for at in range(outputs)]
    node = helper.make_node(kind, ["x", *names], made, "the_node", **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(made[-1], TensorProto.FLOAT, None)],
        list(map(numpy_helper.from_array, constants, names)),
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


NODES = {
    "conv": graph_of("Conv", [values(4, 3, 3, 3), values(4)], group=2, pads=[1, 1, 1, 1]),
    "conv on one side": graph_of("Conv", [values(4, 6, 3, 3)], pads=[0, 1, 2, 0], strides=[2, 1]),
    "conv same": graph_of("Conv", [values(4, 6, 2, 3)], auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv same lower": graph_of("Conv", [values(4, 6, 2, 2)], auto_pad="SAME_LOWER"),
    "conv dilated": graph_of("Conv", [values(4, 6, 2, 2)], dilations=[2, 1], auto_pad="VALID"),
    "conv of rows": graph_of("Conv", [values(4, 6, 3)], shape=(2, 6, 5), pads=[1, 1]),
    "batch norm": graph_of(
        "BatchNormalization",
        [values(6), values(6), values(6), np.abs(values(6)) + 1],
        epsilon=1e-2,
    ),
    "layer norm": graph_of("LayerNormalization", [values(4), values(4)], opset=17, axis=-1),
    "prelu by channel": graph_of("PRelu", [values(6, 1, 1)]),
    "prelu by column": graph_of("PRelu", [values(4)]),
    "prelu of one": graph_of("PRelu", [values(1)]),
    "clip": graph_of("Clip", [np.float32(-0.5), np.float32(0.7)]),
    "clip by attribute": graph_of("Clip", opset=10, min=0.0, max=0.6),
    "leaky": graph_of("LeakyRelu", alpha=0.2),
    "hard sigmoid": graph_of("HardSigmoid", alpha=0.3),
    "hard swish": graph_of("HardSwish", opset=14),
    "gelu": graph_of("Gelu", opset=20, approximate="tanh"),
    "softmax": graph_of("Softmax", axis=1),
    "erf": graph_of("Erf"),
    "div": graph_of("Div", [values(5, 1)]),
    "pow": graph_of("Pow", [np.float32(2)]),
    "matmul": graph_of("MatMul", [values(4, 7)]),
    "gemm": graph_of("Gemm", [values(7, 6), values(7)], shape=(3, 6), transB=1),
    "gemm scaled": graph_of(
        "Gemm", [values(4, 7), values(3, 7)], shape=(4, 3), transA=1, alpha=2.0, beta=0.5
    ),
    "global pool": graph_of("GlobalAveragePool"),
    "average pool": graph_of("AveragePool", kernel_shape=[3, 2], pads=[1, 1, 1, 0]),
    "average pool with edges": graph_of(
        "AveragePool", kernel_shape=[2, 2], pads=[1, 0, 0, 1], count_include_pad=1
    ),
    "max pool dilated": graph_of("MaxPool", kernel_shape=[2, 2], dilations=[2, 1]),
    "max pool rounding up": graph_of(
        "MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, pads=[1, 0, 1, 0]
    ),
    "max pool on one side": graph_of("MaxPool", kernel_shape=[2, 2], pads=[1, 0, 0, 1]),
    "average pool between its edges": graph_of(
        "AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]
    ),
    "global maximum": graph_of("GlobalMaxPool"),
    "global pool of rows": graph_of("GlobalAveragePool", shape=(2, 6, 5)),
    "mean of inputs": graph_of("Mean", [values(5, 1), values(4)]),
    "elu": graph_of("Elu", alpha=0.5),
    "selu": graph_of("Selu"),
    "softplus": graph_of("Softplus"),
    "mish": graph_of("Mish", opset=18),
    "instance norm": graph_of("InstanceNormalization", [values(6), values(6)]),
    "einsum": graph_of("Einsum", [values(4, 7)], equation="bchw,wd->bdhc"),
    "old softmax": graph_of("Softmax", opset=11),
    "old softmax by row": graph_of("Softmax", opset=11, axis=3),
    "largest of a row": graph_of("ReduceMax", axes=[3]),
    "least": graph_of("ReduceMin", axes=[1, 2], keepdims=0),
    "squares": graph_of("ReduceSumSquare", axes=[1]),
    "flatten all": graph_of("Flatten", axis=4),
    "flatten to one": graph_of("Flatten", axis=0),
    "flatten rows": graph_of("Flatten"),
    "split evenly": graph_of("Split", outputs=3, axis=1),
    "split nearly evenly": graph_of("Split", outputs=2, axis=2, opset=18, num_outputs=2),
    "tanh": graph_of("Tanh"),
    "sigmoid": graph_of("Sigmoid"),
    "root": graph_of("ReduceL1", axes=[2]),
    "max pool": graph_of("MaxPool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
    "pad": graph_of("Pad", [numbers(0, 0, 1, 2, 0, 0, 0, 1), np.float32(3)]),
    "mean": graph_of("ReduceMean", axes=[-1, 2], keepdims=0),
    "sum": graph_of("ReduceSum", [numbers(1)]),
    "length": graph_of("ReduceL2", axes=[1]),
    "unit": graph_of("LpNormalization", axis=1),
    "flatten": graph_of("Flatten", axis=2),
    "reshape": graph_of("Reshape", [numbers(0, -1, 2)]),
    "transpose": graph_of("Transpose", perm=[0, 2, 3, 1]),
    "squeeze": graph_of("Squeeze", [numbers(1, -1)], shape=(2, 1, 5, 1)),
    "unsqueeze": graph_of("Unsqueeze", [numbers(1, -1)]),
    "split": graph_of("Split", [numbers(2, 4)], outputs=2, axis=1),
    "slice": graph_of("Slice", [numbers(1, -4), numbers(6, 100), numbers(1, 2), numbers(2, 1)]),
    "gather": graph_of("Gather", [numbers(-1, 2)], axis=1),
    "running sum": graph_of("CumSum", [numbers(2)]),
    "largest": graph_of("Max", [values(5, 1), values(1)], opset=13),
    "tile": graph_of("Tile", [numbers(1, 2, 1, 3)]),
    "sine": graph_of("Sin"),
    "below": graph_of("Floor"),
    "expand": graph_of("Expand", [numbers(3, 1, 1, 5, 1)]),
}


@pytest.mark.parametrize("name", NODES)
def test_an_operator_gives_what_onnxruntime_gives(name):
    model = NODES[name]
    shape = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim]
    x = values(*shape, seed=7)
    wanted = open_session(model.SerializeToString(), 1).run(None, {"x": x})[0]
    with torch.inference_mode():
        found = GraphNetwork(model).eval()(torch.from_numpy(x)).numpy()
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in NODES if name != "pad"])  # waits for its value
def test_an_operator_needs_nothing_of_the_cpu_on_a_device(name):
    """The meta device has shapes without values: what reads one, or mixes devices, stops."""
    model, there = NODES[name], torch.device("meta")
    shape = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim]
    x = values(*shape, seed=7)
    wanted = open_session(model.SerializeToString(), 1).run(None, {"x": x})[0]
    found = GraphNetwork(model).eval().to(there)(torch.from_numpy(x).to(there))
    assert (found.device, tuple(found.shape)) == (there, wanted.shape)


def positions() -> onnx.ModelProto:
    """Places along the image's width, made of its shape as EdgeNeXt does, added to the image."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["nothing"]),
        helper.make_node("Cast", ["nothing"], ["no"], to=TensorProto.BOOL),
        helper.make_node("Not", ["no"], ["yes"]),
        helper.make_node("Cast", ["yes"], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("CumSum", ["ones", "axis"], ["places"]),
        helper.make_node("Where", ["yes", "places", "ones"], ["chosen"]),
        helper.make_node("Add", ["x", "chosen"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in "xy"]
    constants = [numpy_helper.from_array(np.array(3, np.int64), "axis")]
    graph = helper.make_graph(nodes, "places", ends[:1], ends[1:], constants)
    opsets = [helper.make_opsetid("", 13)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_numbers_made_of_shapes_meet_the_image_on_its_device():
    network, x = GraphNetwork(positions()), values(*SHAPE)
    wanted = open_session(positions().SerializeToString(), 1).run(None, {"x": x})[0]
    np.testing.assert_allclose(network(torch.from_numpy(x)).numpy(), wanted, rtol=1e-6)
    np.testing.assert_allclose(wanted, x + np.arange(1, 5), rtol=1e-6)
    assert network(torch.from_numpy(x).to("meta")).device.type == "meta"


@pytest.mark.parametrize(
    "name", ["edgeface-xxs", "iresnet18", "mobilefacenet", "mobilenetv2", "sface"]
)
@pytest.mark.parametrize("for_cpu", [False, True])
def test_our_exports_come_back(name, for_cpu):
    torch.manual_seed(0)
    model = build_backbone(name, 32, 0.25).eval()
    proto, _ = export.export_graph(model, 11, for_cpu)
    network = GraphNetwork(proto).eval()
    faces = torch.from_numpy(export.colour_faces(3)).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        wanted, found = model(faces).numpy(), network(faces).numpy()
    assert export.cosine_difference(wanted, found).max() < 1e-9


def test_a_network_of_somebody_else_comes_back():
    path = Path(os.environ.get("MFR_KIT_DATA", "-")).parent / "models" / "mobilefacenet.onnx"
    if not path.is_file():
        pytest.skip(f"no {path}: MFR_KIT_DATA/../models holds the recognisers of others")
    x = values(1, 3, 112, 112)
    session = open_session(path, 1)
    wanted = session.run(None, {session.get_inputs()[0].name: x})[0]
    with torch.inference_mode():
        found = GraphNetwork(onnx.load(path)).eval()(torch.from_numpy(x)).numpy()
    assert export.cosine_difference(wanted, found).max() < 1e-9


def test_weights_are_parameters_under_the_names_of_the_file():
    network = GraphNetwork(NODES["batch norm"])
    norm = network.weights.room.get_submodule("0")  # named after its scale
    assert set(dict(network.named_parameters())) == {
        "weights.room.0.weight",
        "weights.room.0.bias",
    }
    before = norm.running_mean.clone()
    network.train()(torch.from_numpy(values(*SHAPE))).square().sum().backward()
    assert norm.weight.grad.abs().min() > 0
    mean = torch.from_numpy(values(*SHAPE)).mean((0, 2, 3))  # 0.9 is ONNX's usual momentum
    torch.testing.assert_close(norm.running_mean, 0.9 * before + 0.1 * mean)
    again = GraphNetwork(NODES["batch norm"])
    again.load_state_dict(network.state_dict())
    x = torch.from_numpy(values(*SHAPE))
    assert torch.equal(again.eval()(x), network.eval()(x))


def test_names_that_torch_has_itself_are_kept_apart():
    names = ["a", "a.b", "a/b", "forward", ""]
    nodes = [
        helper.make_node("Add", [f"v{at}" if at else "x", name or "weight"], [f"v{at + 1}"])
        for at, name in enumerate(names)
    ]
    graph = helper.make_graph(
        nodes,
        "names",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info(f"v{len(names)}", TensorProto.FLOAT, [2])],
        [
            numpy_helper.from_array(np.full(2, 10.0**at, np.float32), name or "weight")
            for at, name in enumerate(names)
        ],
    )
    found = GraphNetwork(helper.make_model(graph))(torch.zeros(2))
    assert found.tolist() == [11111.0, 11111.0]


def test_layers_are_matrices_and_the_vectors_behind_them():
    weights = {"a": values(4, 6, 1, 1), "a.bias": values(4), "slope": values(4, 1, 1)}
    weights |= {"b": values(4, 4, 1, 1), "offset": values(1, 4, 1, 1)}
    nodes = [
        helper.make_node("Conv", ["x", "a", "a.bias"], ["1"]),
        helper.make_node("PRelu", ["1", "slope"], ["2"]),
        helper.make_node("Conv", ["2", "b"], ["3"]),
        helper.make_node("Add", ["3", "offset"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "layers", ends[:1], ends[1:], constants)
    network = GraphNetwork(helper.make_model(graph))
    shapes = [[tuple(p.shape) for p in layer] for layer in network.parameters_by_layer()]
    assert shapes == [[(4, 6, 1, 1), (4,), (4,)], [(4, 4, 1, 1), (4,)]]


def test_what_cannot_be_run_is_named():
    with pytest.raises(KitError, match=r"m.onnx: torch cannot run its operator Acosh \(node 'the_"):
        GraphNetwork(graph_of("Acosh"), name="m.onnx")
    odd = graph_of("AveragePool", kernel_shape=[2, 2], ceil_mode=1)
    with pytest.raises(KitError, match="node that makes 'y0': a pooling that is dilated"):
        GraphNetwork(odd)(torch.zeros(SHAPE))
