"""Somebody's ONNX file as a network to train: parity, names, a free batch, and what is refused."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from mfr_kit.errors import KitError
from mfr_kit.models.onnx_models import student_graph
from mfr_kit.models.onnx_models.runtime import open_session
from mfr_kit.models.onnx_models.student_graph import build, read_graph, read_student
from mfr_kit.models.parity import colour_faces, cosine_difference
from mfr_kit.models.preprocess import to_tensor
from mfr_kit.submission import export
from tests.models.onnx_models.students import SIZE, attention_net, conv_net

FORM = "imagenet"


def kept(model: onnx.ModelProto, folder: Path, name: str = "theirs.onnx") -> str:
    onnx.save(model, folder / name)
    return f"{folder / name}:{FORM}"


def embedded(model: onnx.ModelProto, faces: np.ndarray) -> np.ndarray:
    """What onnxruntime makes of faces, one by one."""
    session = open_session(model.SerializeToString(), 1)
    [entry] = session.get_inputs()
    planes = to_tensor(faces, FORM).numpy()
    if entry.shape[-1] == 3:
        planes = planes.transpose(0, 2, 3, 1)
    rows = [session.run(None, {entry.name: np.ascontiguousarray(one[None])})[0] for one in planes]
    return np.concatenate(rows).reshape(len(faces), -1)


def bytes_last() -> onnx.ModelProto:
    """The conv net behind a transposition, of faces (N, 112, 112, 3), with rows (N, D, 1, 1)."""
    model = conv_net(tail="Flatten")
    nodes = [helper.make_node("Transpose", ["faces"], ["x"], perm=[0, 3, 1, 2]), *model.graph.node]
    nodes[-1].output[0] = "flat"
    nodes.append(helper.make_node("Unsqueeze", ["flat", "axes"], ["y"]))
    del model.graph.node[:], model.graph.input[:], model.graph.output[:]
    model.graph.node.extend(nodes)
    shape = ["N", 112, 112, 3]
    model.graph.input.append(helper.make_tensor_value_info("faces", TensorProto.FLOAT, shape))
    model.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 3]), "axes"))
    return model


GRAPHS = {
    "convolutions": conv_net,
    "convolutions, batch of one": lambda: conv_net(1),
    "channels last": bytes_last,
    "attention": lambda: attention_net(False),
    "attention, batch of one": lambda: attention_net(True),
    "attention of an old opset": lambda: attention_net(False, 11),
    "attention with layer norms": lambda: attention_net(True, 17),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_student_gives_what_its_file_gives_in_any_batch_and_exports_so(name, tmp_path):
    model, faces = GRAPHS[name](), colour_faces(5)
    network, parent = read_student(kept(model, tmp_path))
    assert (network.normalisation, network.embedding_size) == (FORM, SIZE)
    assert parent["name"] == "theirs.onnx" and network.training
    wanted = embedded(model, faces)
    with torch.inference_mode():
        found = network.eval()(to_tensor(faces, FORM)).numpy()
    assert found.shape == (5, SIZE)
    assert cosine_difference(wanted, found).max() < 1e-9
    for opset in (11, 13):
        proto, _ = export.export_graph(network, opset)
        session = open_session(proto.SerializeToString(), 1)
        [again] = session.run(None, {"input": to_tensor(faces, FORM).numpy()})
        assert cosine_difference(wanted, again).max() < 1e-8


@pytest.mark.parametrize("name", ["convolutions, batch of one", "attention"])
def test_the_graph_without_weights_is_small_and_takes_them_back(name, tmp_path):
    network, _ = read_student(kept(GRAPHS[name](), tmp_path))
    (tmp_path / "graph.onnx").write_bytes(network.graph)
    assert len(network.graph) < 10_000
    bare = read_graph(tmp_path / "graph.onnx")
    assert all(value.is_meta for value in bare.state_dict().values() if value.numel() > 1)
    assert list(bare.state_dict()) == list(network.state_dict())
    assert bare.graph == network.graph
    bare.load_state_dict(network.state_dict(), assign=True)
    pixels = torch.rand(3, 3, 112, 112)
    assert torch.equal(bare.eval()(pixels), network.eval()(pixels))
    trained = {name for name, _ in network.named_parameters()}
    assert {name for name, _ in bare.named_parameters()} == trained


def test_what_learns_has_names_and_what_prepares_pixels_does_not_learn(tmp_path):
    network, _ = read_student(kept(conv_net(), tmp_path))
    assert [name.removeprefix("weights.") for name, _ in network.named_parameters()] == [
        "stem.weight",
        "stem.slope",
        "stem.norm.weight",
        "stem.norm.bias",
        "body.0.weight",  # of the node: their own were made up by the exporter
        "body.0.bias",
        "se.weight",
        "head.weight",
        "head.bias",
    ]
    assert "weights.mean" in dict(network.named_buffers())
    slope = dict(network.named_parameters())["weights.stem.slope"]
    assert slope.shape == (8,)  # a vector, which no weight decay touches
    layers = [[tuple(p.shape) for p in layer] for layer in network.parameters_by_layer()]
    assert layers == [
        [(8, 3, 5, 5), (8,), (8,), (8,)],
        [(8, 2, 3, 3), (8,)],
        [(8, 8, 1, 1)],
        [(SIZE, 8 * 7 * 7), (SIZE,)],
    ]


def test_batch_norms_learn_their_statistics_in_training_alone(tmp_path):
    network, _ = read_student(kept(conv_net(), tmp_path))
    norm, pixels = network.weights.stem.norm, torch.rand(4, 3, 112, 112)
    before = norm.running_mean.clone()
    network.eval()(pixels)
    assert torch.equal(norm.running_mean, before)
    network.train()(pixels).square().sum().backward()
    assert not torch.equal(norm.running_mean, before)
    for parameter in network.parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0


def test_an_attention_students_token_learns_in_any_batch(tmp_path):
    network, _ = read_student(kept(attention_net(True), tmp_path))
    network(torch.rand(3, 3, 112, 112)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    shapes = [tuple(parameter.shape) for parameter in network.parameters()]
    assert shapes.count((1, 17, 16)) == 1 and (1, 1, 16) in shapes


def test_dropout_drops_in_training_alone(tmp_path):
    model = conv_net()
    model.graph.node[-1].input[0] = "dropped"
    last = model.graph.node.pop()
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.5), "share"))
    model.graph.node.extend([helper.make_node("Dropout", ["rows", "share"], ["dropped"]), last])
    network, _ = read_student(kept(model, tmp_path))
    pixels = torch.rand(2, 3, 112, 112)
    assert torch.equal(network.eval()(pixels), network(pixels))
    for module in network.modules():
        module.training = False  # the norm shall stay
    network.training = True
    assert not torch.equal(network(pixels), network(pixels))


def spoiled(kind: str) -> onnx.ModelProto:
    model = conv_net()
    if kind == "double":
        item = next(one for one in model.graph.initializer if one.name == "se.weight")
        item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item).astype(float), item.name))
    if kind == "training":
        norm = next(node for node in model.graph.node if node.op_type == "BatchNormalization")
        norm.name = "norm_1"
        norm.attribute.append(helper.make_attribute("training_mode", 1))
        model.opset_import[0].version = 14
        norm.output.extend(["mean_out", "var_out"])
    if kind == "operator":
        node = model.graph.node[-1]
        node.input[0] = "odd"
        last = model.graph.node.pop()
        model.graph.node.extend([helper.make_node("Acosh", ["rows"], ["odd"], "strange"), last])
    if kind == "batch":
        last = model.graph.node.pop()
        last.input[0] = "scaled"
        node = helper.make_node
        model.graph.initializer.append(numpy_helper.from_array(np.array(0), "first"))
        model.graph.node.extend(
            [
                node("Shape", ["x"], ["sizes"]),
                node("Gather", ["sizes", "first"], ["count"], axis=0),
                node("Cast", ["count"], ["number"], to=TensorProto.FLOAT),
                node("Div", ["rows", "number"], ["scaled"], "by_count"),
                last,
            ]
        )
    return model


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("training", "BatchNormalization 'norm_1' was exported for training"),
        ("operator", r"cannot run its operator Acosh \(node 'strange'\)"),
        ("batch", "Div 'by_count' computes with the number of faces in a batch"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name(kind, reason, tmp_path):
    with pytest.raises(KitError, match=reason):
        read_student(kept(spoiled(kind), tmp_path))


def test_other_numbers_than_the_files_are_refused_naming_the_operator(tmp_path, monkeypatch):
    from mfr_kit.models.onnx_models import graph_operators

    operators = graph_operators.OPERATORS
    wrong = lambda network, inputs, attributes: (torch.sigmoid(1.3 * inputs[0]),)  # noqa: E731
    monkeypatch.setitem(operators, "Sigmoid", wrong)
    with pytest.raises(KitError, match="first to differ is the Sigmoid '4'"):
        read_student(kept(conv_net(), tmp_path))


def test_a_damaged_graph_is_refused(tmp_path):
    network, _ = read_student(kept(conv_net(), tmp_path))
    path = tmp_path / "graph.onnx"
    path.write_bytes(network.graph[:-40])
    with pytest.raises(KitError, match=r"graph\.onnx"):
        read_graph(path)
    onnx.save(conv_net(), path)  # an ONNX file, and nothing that a run has written
    with pytest.raises(KitError, match="is no graph of a student"):
        read_graph(path)


def test_a_real_recogniser_with_a_fixed_batch_is_a_student():
    path = Path(os.environ.get("MFR_KIT_DATA", "-")).parent / "models" / "mobilefacenet.onnx"
    if not path.is_file():
        pytest.skip(f"no {path}: MFR_KIT_DATA/../models holds the recognisers of others")
    network, _ = read_student(f"{path}:imagenet")
    faces = colour_faces(3)
    with torch.inference_mode():
        found = network.eval()(to_tensor(faces, "imagenet")).numpy()
    assert cosine_difference(embedded(onnx.load(path), faces), found).max() < 1e-9
    names = dict(network.named_parameters())
    assert names["weights.conv1.0.weight"].shape == (64, 3, 3, 3)
    assert len(names) == 102 and len(network.parameters_by_layer()) == 51
    assert build(onnx.load_from_string(network.graph), "again").embedding_size == 128
    assert student_graph.is_onnx(f"{path}:imagenet") and not student_graph.is_onnx("iresnet50")


@pytest.mark.parametrize(
    "model", [conv_net(), attention_net(fixed=False)], ids=["conv", "attention"]
)
def test_it_compiles_as_one_graph(model, tmp_path):
    student, _ = read_student(kept(model, tmp_path))
    faces = torch.rand(3, 3, 112, 112)
    compiled = torch.compile(student, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(faces), student(faces))
    compiled(faces).sum().backward()
