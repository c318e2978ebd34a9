"""Whatever changes an embedding changes the name it is stored under."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mfr_kit.models import identity
from mfr_kit.models.embedders import load_embedder
from tests.evaluation.fakes import ColourEmbedder


def write_model(path, scale: float, external: bool = False):
    """A recogniser of four numbers: mean colours times `scale`."""
    weights = numpy_helper.from_array(
        np.eye(3, 4, dtype=np.float32) * np.float32(scale) + np.float32(0.1), "weights"
    )
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["embedding"]),
    ]
    faces = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 112, 112])
    out = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", 4])
    graph = helper.make_graph(nodes, "tiny", [faces], [out], [weights])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    if external:
        onnx.save(
            proto,
            str(path),
            save_as_external_data=True,
            location=f"{path.name}.data",
            size_threshold=0,
        )
    else:
        onnx.save(proto, str(path))
    return path


def name_of(path, normalisation: str) -> str:
    return identity.digest(
        identity.describe_model(load_embedder(path, normalisation=normalisation))
    )


def test_a_model_is_its_weights_and_its_normalisation(tmp_path):
    one, other = write_model(tmp_path / "a.onnx", 1), write_model(tmp_path / "b.onnx", 2)
    names = [name_of(path, how) for path in (one, other) for how in ("minus1_to_1", "raw_0_255")]
    assert len(set(names)) == 4 and name_of(one, "minus1_to_1") == names[0]


def test_weights_in_another_file_count(tmp_path):
    path = write_model(tmp_path / "a.onnx", 1, external=True)
    graph, before = path.read_bytes(), load_embedder(path, normalisation="raw_0_255")
    (tmp_path / "a.onnx.data").unlink()  # onnx would append to it
    write_model(path, 2, external=True)
    after = load_embedder(path, normalisation="raw_0_255")
    assert path.read_bytes() == graph and before.fingerprint != after.fingerprint
    faces = np.full((1, 112, 112, 3), 9, np.uint8)
    assert not np.array_equal(before.embed(faces), after.embed(faces))


def test_an_ensemble_is_its_members_normalisations_too(tmp_path):
    paths = [write_model(tmp_path / f"{name}.onnx", scale) for name, scale in (("a", 1), ("b", 2))]
    both = ",".join(map(str, paths))
    assert name_of(both, "minus1_to_1") != name_of(both, "raw_0_255")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fingerprint", "0" * 64),
        ("normalisation", "raw_0_255"),
        ("output", "second"),
        ("architecture", "IResNet"),
        ("embedding_size", 47),
        ("device", "cuda"),
    ],
)
def test_every_part_of_a_model_counts(drawn_set, name, value):
    usual, changed = ColourEmbedder(), ColourEmbedder()
    setattr(changed, name, value)
    described = [identity.describe(model, drawn_set, "added") for model in (usual, changed)]
    assert identity.digest(described[0]) != identity.digest(described[1])
    assert identity.digest(described[0]) != identity.digest(
        identity.describe(usual, drawn_set, "beside")
    )
