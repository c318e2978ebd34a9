import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from mfr_kit.errors import KitError
from mfr_kit.models import preprocess
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.lineage import trained_on
from mfr_kit.models.spec import parse_specs


def tiny_onnx(path, batch="batch", metadata=None):
    """A recogniser that averages each plane: D = 3."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["data"], ["pooled"]),
        helper.make_node("Reshape", ["pooled", "shape"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [batch, 3, 112, 112])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(np.array([-1, 3], np.int64), "shape")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path


def faces(count=5):
    return np.random.default_rng(1).integers(0, 256, (count, 112, 112, 3), dtype=np.uint8)


def test_normalisation_is_never_guessed(tmp_path):
    path = tiny_onnx(tmp_path / "m.onnx")
    with pytest.raises(KitError, match="--normalisation"):
        load_embedder(path)
    raw = load_embedder(path, normalisation="raw_0_255").embed(faces())
    np.testing.assert_allclose(raw, faces().mean(axis=(1, 2)), rtol=1e-4)
    scaled = load_embedder(path, normalisation="minus1_to_1").embed(faces())
    np.testing.assert_allclose(scaled, (raw - 127.5) / 127.5, atol=1e-4)


def test_metadata_speaks_for_the_file_and_may_not_be_contradicted(tmp_path):
    lineage = {
        "training_sets": [{"name": "mine"}],
        "teacher": {"name": "t", "sha256": "0", "trained_on": ["theirs"]},
    }
    meta = {
        preprocess.META_NORMALISATION: "raw_0_255",
        preprocess.META_LINEAGE: json.dumps(lineage),
    }
    path = tiny_onnx(tmp_path / "m.onnx", metadata=meta)
    embedder = load_embedder(path)
    assert embedder.lineage == lineage
    assert trained_on(embedder.lineage) == ["mine", "theirs"]
    assert embedder.embedding_size == 3
    assert load_embedder(path, normalisation="minus1_to_1").normalisation == "raw_0_255"
    with pytest.raises(KitError, match="exported for raw_0_255"):
        load_embedder(f"{path}:minus1_to_1")


def test_a_fixed_batch_is_padded_not_dropped(tmp_path):
    fixed = load_embedder(tiny_onnx(tmp_path / "fixed.onnx", batch=4), normalisation="raw_0_255")
    free = load_embedder(tiny_onnx(tmp_path / "free.onnx"), normalisation="raw_0_255")
    for count in (0, 1, 4, 9):
        assert fixed.embed(faces(count)).shape == (count, 3)
        np.testing.assert_array_equal(fixed.embed(faces(count)), free.embed(faces(count)))


def test_a_run_folder_embeds_like_its_model(tmp_path, make_run):
    model = make_run(tmp_path).eval()
    embedder = load_embedder(tmp_path)
    with torch.no_grad():
        wanted = model(preprocess.to_tensor(faces())).numpy()
    np.testing.assert_allclose(embedder.embed(faces()), wanted, atol=1e-5)
    assert embedder.embed(faces(0)).shape == (0, 16)
    with pytest.raises(KitError, match="takes minus1_to_1"):
        load_embedder(f"{tmp_path}:raw_0_255")
    with pytest.raises(KitError, match="unknown value for --normalisation 'raw'"):
        load_embedder(tmp_path, normalisation="raw")


def test_the_flag_is_for_models_that_do_not_say_and_a_colon_for_one(tmp_path, make_run, capsys):
    """Each of them in one ensemble or side by side, in any order."""
    silent = tiny_onnx(tmp_path / "a, b.onnx")
    says = tiny_onnx(tmp_path / "c:d.onnx", metadata={preprocess.META_NORMALISATION: "raw_0_255"})
    both = load_embedder(f"{says},{silent}:minus1_to_1")
    assert [member.normalisation for member in both.members] == ["raw_0_255", "minus1_to_1"]
    assert not capsys.readouterr().err
    both = load_embedder(f"{silent},{says}", normalisation="minus1_to_1")
    assert [member.normalisation for member in both.members] == ["minus1_to_1", "raw_0_255"]
    assert "c:d.onnx takes raw_0_255, as it says itself" in capsys.readouterr().err
    assert load_embedder("sface", normalisation="minus1_to_1").normalisation == "raw_0_255"
    with pytest.raises(KitError, match="sface takes raw_0_255: leave ':minus1_to_1' behind it out"):
        load_embedder("sface:minus1_to_1")
    with pytest.raises(KitError, match=r"a, b\.onnx:minus1_to_1"):
        load_embedder(silent)


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("sface", [("sface", None)]),
        ("C:\\x\\y.onnx", [("C:\\x\\y.onnx", None)]),
        ("C:\\x\\y.onnx:raw_0_255", [("C:\\x\\y.onnx", "raw_0_255")]),
        ("sface,none.pth:minus1_to_1", [("sface", None), ("none.pth", "minus1_to_1")]),
    ],
)
def test_what_is_written_for_a_model(text, specs):
    assert [tuple(spec) for spec in parse_specs(text)] == specs


@pytest.mark.parametrize("text", ["sface,", ",sface", "sface,,sface", "sface:raw", "sface:"])
def test_a_slip_in_what_is_written_for_a_model_is_named(text):
    with pytest.raises(
        KitError, match=r"missing before or after a comma|normalisation behind sface"
    ):
        parse_specs(text)


def test_the_sface_asset_needs_no_flags():
    embedder = load_embedder("sface", threads=1)
    assert (embedder.name, embedder.embedding_size) == ("sface", 128)
    assert trained_on(embedder.lineage)[0].startswith("external: SFace")


def test_a_model_that_says_nothing_is_not_taken_for_clean():
    assert "unknown" in trained_on(None)[0]
    assert "unknown" in trained_on({"training_sets": []})[0]


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"nonsense")
    with pytest.raises(KitError, match="cannot be loaded"):
        load_embedder(tmp_path / "x.onnx", normalisation="raw_0_255")
    with pytest.raises(KitError, match="no model 'nothing'"):
        load_embedder("nothing")
