"""EdgeFace: the published names, sizes and function, float32 and int8."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mfr_kit.errors import KitError
from mfr_kit.models import weights, weights_file
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.measure import cost_of
from mfr_kit.models.parity import colour_faces, cosine_difference
from mfr_kit.models.preprocess import to_tensor
from tests.models.edgeface_on_paper import BLOCKS, Paper, published_shapes, random_state

# parameters and FLOPs in millions: EdgeFace (arXiv 2307.01838), tables 2 and 3
PUBLISHED = {"xxs": (1.24, 94), "xs": (1.77, 154), "s": (3.65, 306)}


def embed_on_paper(state, faces):
    return Paper(state)(to_tensor(faces).numpy())


@pytest.mark.parametrize("kind", BLOCKS)
def test_names_and_shapes_are_the_published_ones(kind):
    with torch.device("meta"):
        own = weights.build_backbone(f"edgeface_{kind}").state_dict()
    assert {key: tuple(value.shape) for key, value in own.items()} == published_shapes(kind)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_parameters_and_flops_are_the_published_ones(kind):
    cost = cost_of(f"edgeface_{kind}")
    assert (cost.parameters / 1e6, cost.flops / 1e6) == pytest.approx(PUBLISHED[kind], rel=0.01)


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_published_file_is_told_by_its_tensors_and_embeds_the_same(tmp_path, kind):
    state = random_state(kind)
    torch.save({f"model.{key}": value for key, value in state.items()}, tmp_path / "e.pt")
    faces = colour_faces(2)
    found = load_embedder(tmp_path / "e.pt").embed(faces)
    wanted = embed_on_paper(state, faces)
    assert cosine_difference(wanted[:1], wanted[1:2]) > 1e-3  # faces tell on it
    np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max())


def packed(state):
    """Write the linear layers as torch.ao's dynamic quantisation does, and those that they stand
    for.
    """
    stored, meant = {}, dict(state)
    for key, value in state.items():
        layer = key.removesuffix(".weight").removesuffix(".bias")
        if value.ndim == 2:
            scale = value.abs().max().item() / 127
            rounded = torch._make_per_tensor_quantized_tensor(
                (value / scale).round().to(torch.int8), scale, 0
            )
            pair = (rounded, state.get(f"{layer}.bias"))
            stored |= {f"{layer}.scale": torch.tensor(1.0), f"{layer}.zero_point": torch.tensor(0)}
            stored[f"{layer}._packed_params.dtype"] = torch.qint8
            stored[f"{layer}._packed_params._packed_params"] = pair
            meant[key] = (value / scale).round() * scale
        elif state.get(f"{layer}.weight", value).ndim != 2:  # else it is a bias of the pair
            stored[key] = value
    return stored, meant


@pytest.mark.filterwarnings("ignore:.*quantized tensor:UserWarning")
def test_int8_linear_layers_become_float32(tmp_path):
    stored, meant = packed(random_state("xs_dense"))
    torch.save({f"model.{key}": value for key, value in stored.items()}, tmp_path / "q.pt")
    read = weights_file.read_state(tmp_path / "q.pt")
    assert read.keys() == {f"model.{key}" for key in meant}
    for key, value in meant.items():
        torch.testing.assert_close(read[f"model.{key}"], value, rtol=1e-6, atol=0)
    faces = colour_faces(2)
    found = load_embedder(tmp_path / "q.pt").embed(faces)
    wanted = embed_on_paper(meant, faces)
    np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max())


def test_a_packed_layer_without_a_weight_is_named():
    broken = {"head.fc._packed_params._packed_params": (1, None), "x": torch.zeros(1)}
    with pytest.raises(KitError, match=r"m\.pt: 'head\.fc' is a packed int8 layer without"):
        weights_file.states_in(broken, "m.pt")


def test_backbones_of_one_layout_are_told_by_their_widths(tmp_path):
    """XS and S have the same names."""
    assert random_state("xs").keys() == random_state("s").keys()
    state = random_state("xs")
    rank = int(128 * 0.6)
    state["head.fc.linear1.weight"] = state["head.fc.linear1.weight"][:rank]
    state["head.fc.linear2.weight"] = state["head.fc.linear2.weight"][:128, :rank]
    state["head.fc.linear2.bias"] = state["head.fc.linear2.bias"][:128]
    model, size = weights.backbone_of(state, "m.pt")
    assert (size, len(model.stem[0].weight)) == (128, 32)
    state["stem.0.weight"] = state["stem.0.weight"][:, :2]
    with pytest.raises(KitError, match=r"edgeface-xs.*stem\.0\.weight \(32, 2, 4, 4\) for"):
        weights.backbone_of(state, "m.pt")


def test_the_published_int8_file_is_edgeface_xs(real_data):
    path = Path(real_data).parent / "models" / "edgeface_xs_int8.pt"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    embedder = load_embedder(path)
    with torch.device("meta"):
        own = weights.build_backbone("edgeface_xs_dense").state_dict()
    assert embedder.model.state_dict().keys() == own.keys()
    faces = colour_faces(4)
    found = embedder.embed(faces)
    wanted = embed_on_paper(embedder.model.state_dict(), faces)
    assert cosine_difference(wanted, found).max() < 1e-9
