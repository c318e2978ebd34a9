"""Several recognisers as one, and state dicts that come without a run folder."""

import numpy as np
import pytest
import torch

from mfr_kit.errors import KitError
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.weights import build_backbone
from tests.models.test_embedders import faces, tiny_onnx


def test_an_ensemble_is_the_mean_of_unit_embeddings(tmp_path):
    one = tiny_onnx(tmp_path / "one.onnx")
    two = tiny_onnx(tmp_path / "two.onnx", metadata={"a": "b"})
    ensemble = load_embedder(f"{one},{two}", normalisation="minus1_to_1")
    single = load_embedder(one, normalisation="minus1_to_1").embed(faces())
    np.testing.assert_allclose(
        ensemble.embed(faces()), single / np.linalg.norm(single, axis=1, keepdims=True), rtol=1e-5
    )
    assert ensemble.name == "one+two" and ensemble.embedding_size == 3
    assert ensemble.embed(faces(0)).shape == (0, 3)
    assert ensemble.lineage["trained_on"] == ["unknown: the model file does not say"]


def test_models_of_two_sizes_stand_side_by_side(tmp_path):
    one = tiny_onnx(tmp_path / "one.onnx")
    torch.manual_seed(0)
    torch.save(build_backbone("mobilefacenet", 16).state_dict(), tmp_path / "m.pth")
    places = [f"{one}:minus1_to_1", str(tmp_path / "m.pth")]
    ensemble = load_embedder(",".join(places))
    assert (ensemble.name, ensemble.embedding_size) == ("one+m", 19)
    found = ensemble.embed(faces(5))
    assert found.dtype == np.float32 and ensemble.embed(faces(0)).shape == (0, 19)
    cosines = []
    for place in places:
        single = load_embedder(place).embed(faces(5)).astype(np.float64)
        single /= np.linalg.norm(single, axis=1, keepdims=True)
        cosines.append(single @ single.T)
    np.testing.assert_allclose(found @ found.T, np.mean(cosines, axis=0), atol=1e-6)


def test_an_ensemble_of_one_model_is_refused(tmp_path):
    one = tiny_onnx(tmp_path / "one.onnx")
    with pytest.raises(KitError, match="two or more different models"):
        load_embedder(f"{one},{one}", normalisation="raw_0_255")


@pytest.mark.parametrize(
    ("name", "size"),
    [("iresnet18", 512), ("iresnet34", 128), ("mobilefacenet", 256), ("mobilenetv2", 512)],
)
def test_a_plain_state_dict_tells_its_backbone(tmp_path, name, size):
    torch.manual_seed(0)
    model = build_backbone(name, size).eval()
    torch.save(
        {
            f"module.{key}": value
            for key, value in model.state_dict().items()
            if "tracked" not in key
        },
        tmp_path / "backbone.pth",
    )
    embedder = load_embedder(tmp_path / "backbone.pth")
    assert (embedder.name, embedder.embedding_size, embedder.lineage) == ("backbone", size, None)
    planes = torch.from_numpy(faces(2)).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        wanted, found = model(planes).numpy(), embedder.embed(faces(2))
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_a_state_dict_of_somebody_else_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(KitError, match="its 1 tensors are not those of any backbone"):
        load_embedder(tmp_path / "other.pth")
