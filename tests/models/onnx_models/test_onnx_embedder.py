"""ONNX files of other people: what can be run is run right, what cannot be is refused in one
line that says why.
"""

import json
import os

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from mfr_kit.cli import main
from mfr_kit.errors import KitError
from mfr_kit.models import lineage, preprocess
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.onnx_models.bound_session import BoundSession
from mfr_kit.models.onnx_models.converted_embedder import ConvertedEmbedder
from tests.models import odd_onnx
from tests.models.odd_onnx import FLATTEN, D, body, cast_first, expected, reshape, value, write

FACES = np.random.default_rng(1).integers(0, 256, (5, 112, 112, 3), dtype=np.uint8)


def load(path, normalisation="minus1_to_1", **more):
    return load_embedder(path, normalisation=normalisation, **more)


def nhwc():
    turn = helper.make_node("Transpose", ["data"], ["planes"], "turn", perm=[0, 3, 1, 2])
    return {
        "nodes": [turn, *body("planes"), *FLATTEN],
        "inputs": [value("data", ["N", 112, 112, 3])],
    }


def slopes(shape):
    return {
        "nodes": body(activation="PRelu", slopes=["s"]) + FLATTEN,
        "constants": [numpy_helper.from_array(np.zeros(shape, np.float32), "s")],
    }


RUNS = {
    "batch 0": {"inputs": [value("data", [0, 3, 112, 112])], "outputs": [value("emb", [0, D])]},
    "batch -1": {"inputs": [value("data", [-1, 3, 112, 112])]},
    "batch 4": {"inputs": [value("data", [4, 3, 112, 112])], "outputs": [value("emb", [4, D])]},
    "all free": {"inputs": [value("data", ["N", "C", "H", "W"])]},
    "no shape": {"inputs": [value("data", None)]},
    "channels last": nhwc(),
    "weights among the inputs": {
        "inputs": [value("data", ["N", 3, 112, 112]), value("w", [D, 3, 16, 16])]
    },
    "batch fixed by a Reshape": reshape(1, D),
    "all faces in one row": reshape(1, -1),
    "(N, D, 1, 1)": {"nodes": body(), "outputs": [value("mean", ["N", D, 1, 1])]},
    "slopes of shape (C,)": slopes((D,)),
    "double, cast inside": cast_first(TensorProto.DOUBLE),
}


@pytest.mark.parametrize("case", RUNS)
def test_odd_shapes_embed_like_the_plain_one(tmp_path, case):
    embedder = load(write(tmp_path / "m.onnx", **RUNS[case]))
    assert embedder.embedding_size == D
    np.testing.assert_allclose(embedder.embed(FACES), expected(FACES), rtol=1e-3, atol=1e-5)
    assert embedder.embed(FACES[:0]).shape == (0, D)


def test_halves_are_cast(tmp_path):
    half = load(write(tmp_path / "half.onnx", kind=TensorProto.FLOAT16)).embed(FACES)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, expected(FACES), rtol=0.02, atol=1e-3)
    brain = load(write(tmp_path / "brain.onnx", **cast_first(TensorProto.BFLOAT16))).embed(FACES)
    np.testing.assert_allclose(brain, expected(FACES), rtol=0.03, atol=3e-3)


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.INT32])
def test_whole_numbers_are_pixels_whatever_the_flag_says(tmp_path, kind, capsys):
    path = write(tmp_path / "m.onnx", **cast_first(kind))
    for normalisation in (None, "raw_0_255", "minus1_to_1"):
        found = load(path, normalisation).embed(FACES)
        np.testing.assert_allclose(found, expected(FACES, scale=False), rtol=1e-3)
    assert capsys.readouterr().err.count("--normalisation minus1_to_1 is not for it") == 1
    write(
        path,
        **cast_first(kind),
        metadata={preprocess.META_NORMALISATION: "minus1_to_1"},
    )
    with pytest.raises(KitError, match="holds pixels only"):
        load(path, None)


def test_one_by_one_is_said_once(tmp_path, capsys):
    path = write(tmp_path / "m.onnx", **reshape(1, D))
    for _ in range(2):
        load(path).embed(FACES)
    assert capsys.readouterr().err.count("run one by one") == 1


def test_faces_that_change_each_other_are_run_one_by_one(tmp_path):
    mixing = [
        helper.make_node("ReduceMax", ["mean"], ["most"], "most", axes=[0], keepdims=1),
        helper.make_node("Add", ["mean", "most"], ["both"], "both"),
        helper.make_node("Flatten", ["both"], ["emb"], "flatten"),
    ]
    embedder = load(write(tmp_path / "m.onnx", nodes=body() + mixing))
    assert embedder.batch == 1
    np.testing.assert_allclose(embedder.embed(FACES), 2 * expected(FACES), rtol=1e-3, atol=1e-5)


def test_the_output_to_keep_is_named(tmp_path):
    double = helper.make_node("Add", ["emb", "emb"], ["twice"], "twice")
    path = write(
        tmp_path / "m.onnx",
        nodes=[*body(), *FLATTEN, double],
        outputs=[value("emb", ["N", D]), value("twice", ["N", D])],
    )
    with pytest.raises(KitError, match=r"2 outputs: 'emb' .*'twice' .*--output NAME"):
        load(path)
    with pytest.raises(KitError, match=r"no output 'twise'.*'twice'"):
        load(path, output="twise")
    one, two = load(path, output="emb"), load(path, output="twice")
    np.testing.assert_allclose(two.embed(FACES), 2 * one.embed(FACES), rtol=1e-5)
    assert one.fingerprint != two.fingerprint  # their embeddings may not share a cache
    assert load(write(tmp_path / "plain.onnx"), output="twice").embedding_size == D


@pytest.mark.parametrize(
    "text", ["{oops", "[1]", '{"training_sets": 3}', '{"teacher": [1]}', "[" * 9999]
)
def test_a_lineage_that_cannot_be_read_is_unknown(tmp_path, text, capsys):
    path = write(tmp_path / "m.onnx", metadata={preprocess.META_LINEAGE: text})
    embedder = load(path)
    assert lineage.trained_on(embedder.lineage) == [lineage.UNKNOWN]
    assert preprocess.META_LINEAGE in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        lineage.parse(text)


def test_a_lineage_of_ours_is_read():
    told = {"training_sets": [{"name": "a", "people": 3}], "teacher": None}
    assert lineage.parse(json.dumps(told)) == told


def int_output():
    nodes = [*body(), helper.make_node("ArgMax", ["mean"], ["emb"], "argmax", axis=1)]
    return {"nodes": nodes, "outputs": [value("emb", None, TensorProto.INT64)]}


def second_input():
    add = helper.make_node("Add", ["flat", "kps"], ["emb"], "add")
    flat = helper.make_node("Flatten", ["mean"], ["flat"], "flatten")
    return {
        "nodes": [*body(), flat, add],
        "inputs": [value("data", ["N", 3, 112, 112]), value("kps", ["N", D])],
    }


REFUSED = {
    "a second input": (second_input(), r"needs 2 inputs.*'data'.*'kps' float \(N, 8\)"),
    "another size": ({"inputs": [value("data", ["N", 3, 160, 160])]}, r"\(N, 3, 160, 160\)"),
    "no batch": ({"inputs": [value("data", [3, 112, 112])]}, "cannot be loaded|batch dimension"),
    "int8": (cast_first(TensorProto.INT8), "'data' int8"),
    "whole numbers out": (int_output(), r"'emb' is tensor\(int64\)"),
    "a map out": (reshape(-1, 4, 2), r"shape \(1, 4, 2\)"),
    "fixed at 8 inside": (reshape(8, D), r"does not run.*Input shape:\{1,8,1,1\}"),
    "wrong slopes": (slopes((5, 1, 1)), "'act1'.*broadcast"),
    "a newer IR": ({"ir": 99}, r"onnxruntime: IR version 99 is newer"),
    "a newer opset": ({"opset": 99}, r"onnxruntime: opset 99 is newer"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_fed_is_refused_with_its_reason(tmp_path, case):
    more, reason = REFUSED[case]
    with pytest.raises(KitError, match=rf"m\.onnx.*({reason})") as caught:
        load(write(tmp_path / "m.onnx", **more))
    assert "\n" not in str(caught.value) and "onnxruntime_src" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n<!DOCTYPE html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (bytes(900), "zeros"),
        (b"PK\x03\x04", "zip"),
        (b"hello world", "no ONNX file"),
    ],
)
def test_what_is_no_onnx_says_what_it_is(tmp_path, content, reason):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(KitError, match=rf"m\.onnx.*{reason}"):
        load(tmp_path / "m.onnx")


def test_a_folder_called_onnx_and_weights_that_lie_elsewhere(tmp_path):
    (tmp_path / "f.onnx").mkdir()
    with pytest.raises(KitError, match="it is a folder"):
        load(tmp_path / "f.onnx")
    path = odd_onnx.with_external(write(tmp_path / "m.onnx"), "w.bin")
    np.testing.assert_allclose(load(path).embed(FACES), expected(FACES), rtol=1e-3, atol=1e-5)
    os.truncate(tmp_path / "w.bin", 100)
    with pytest.raises(KitError, match="out of bounds"):
        load(path)
    (tmp_path / "w.bin").unlink()
    with pytest.raises(KitError, match=r"weights lie in 'w\.bin', which is not there"):
        load(path)


def test_no_outputs_and_unknown_normalisation(tmp_path):
    model = onnx.load(write(tmp_path / "m.onnx"))
    del model.graph.output[:]
    (tmp_path / "none.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(KitError, match="no outputs"):
        load(tmp_path / "none.onnx")
    strange = {preprocess.META_NORMALISATION: "strange"}
    path = write(tmp_path / "strange.onnx", metadata=strange)
    with pytest.raises(KitError, match="add --normalisation"):
        load(path, None)
    np.testing.assert_allclose(load(path).embed(FACES), expected(FACES), rtol=1e-3, atol=1e-5)


def test_the_commands_take_an_output(tmp_path, capsys):
    path = write(
        tmp_path / "m.onnx", outputs=[value("emb", ["N", D]), value("mean", ["N", D, 1, 1])]
    )
    set_ = str(tmp_path / "none")
    for command in (
        ["evaluate", str(path), "--data", set_],
        ["audit", set_, "--model", str(path)],
        ["distill", "--teacher", str(path), "--data", set_, "--out", str(tmp_path / "run")],
        ["adapt", "--teacher", str(path), "--data", set_, "--out", str(tmp_path / "run")],
    ):
        assert main([*command, "--output", "emb", "--normalisation", "minus1_to_1"]) == 2
        assert "No such option" not in capsys.readouterr().err


@pytest.mark.parametrize("shape", [{}, nhwc()], ids=["channels first", "channels last"])
def test_blue_first_reaches_a_graph_of_either_layout(tmp_path, shape):
    path = write(tmp_path / "m.onnx", **shape)
    wanted = expected(FACES[..., [2, 1, 0]])
    blue_first = load_embedder(f"{path}:bgr_minus1_to_1")
    np.testing.assert_allclose(blue_first.embed(FACES), wanted, rtol=1e-4, atol=1e-5)
    bound = BoundSession(
        blue_first._session, blue_first.signature, "bgr_minus1_to_1", torch.device("cpu"), "m"
    )
    np.testing.assert_allclose(bound.embed(FACES), wanted, rtol=1e-4, atol=1e-5)
    assert np.abs(load(path).embed(FACES) - wanted).max() > 1e-2


def test_an_input_of_whole_numbers_takes_pixels_in_either_order(tmp_path):
    path = write(tmp_path / "m.onnx", **cast_first(TensorProto.UINT8))
    found = load_embedder(f"{path}:bgr_raw_0_255")
    assert found.normalisation == "bgr_raw_0_255"
    wanted = expected(FACES[..., [2, 1, 0]], scale=False)
    np.testing.assert_allclose(found.embed(FACES), wanted, rtol=1e-4)
    with pytest.raises(KitError, match="holds pixels only"):
        load_embedder(f"{path}:bgr_minus1_to_1")


def test_a_network_on_a_device_takes_blue_first_as_the_file_does(tmp_path):
    path = write(tmp_path / "m.onnx")
    source = load_embedder(f"{path}:bgr_imagenet", threads=1)
    converted = ConvertedEmbedder(source, torch.device("cpu"))
    assert converted.normalisation == converted.model.normalisation == "bgr_imagenet"
    np.testing.assert_allclose(converted.embed(FACES), source.embed(FACES), rtol=1e-4, atol=1e-5)
