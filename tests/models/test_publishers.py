"""Checkpoints of other projects, told by their keys: random weights in the published layout embed
as a forward pass written out from the published source.
"""

import types
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from mfr_kit import registry
from mfr_kit.errors import KitError
from mfr_kit.models import preprocess, publishers, weights
from mfr_kit.models.backbones import _vit
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.parity import colour_faces
from mfr_kit.models.weights_fit import load_state
from mfr_kit.submission import export
from mfr_kit.training import networks
from mfr_kit.training.settings import StudentSpec
from tests.models import publishers_on_paper as paper
from tests.models.test_iresnet import published_state

FACES = colour_faces(2)
BLOCKS = (2, 2, 2, 2)
HEAD = {"head.kernel": torch.zeros(512, 9), "head.t": torch.zeros(1)}


def prefixed(state: dict, prefix: str) -> dict:
    return {prefix + key: value for key, value in state.items()}


def planes(order: str, zero_to_1: bool = False) -> torch.Tensor:
    """What a publisher's own code makes of the faces."""
    pixels = FACES[..., ::-1] if order == "bgr" else FACES
    scaled = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32)) / 255
    return scaled if zero_to_1 else (scaled - 0.5) / 0.5


def adaface() -> tuple[dict, torch.Tensor]:
    state = paper.random_state(paper.ir_shapes(BLOCKS))
    content = {"state_dict": prefixed(state, "model.") | HEAD, "epoch": 3, "callbacks": {}}
    return content, paper.ir_forward(state, planes("bgr"), BLOCKS)


def cvlface_ir() -> tuple[dict, torch.Tensor]:
    state = paper.random_state(paper.ir_shapes(BLOCKS), seed=1)
    return prefixed(state, "net."), paper.ir_forward(state, planes("rgb"), BLOCKS)


def magface() -> tuple[dict, torch.Tensor]:
    shapes = {key: tuple(value.shape) for key, value in published_state(18).items()}
    state = paper.random_state(shapes)
    state["features.running_var"] = torch.full((512,), 1e-5)  # where the epsilon shows
    content = {"state_dict": prefixed(state, "features.module.") | {"fc.weight": HEAD["head.t"]}}
    wanted = paper.iresnet_forward(state, planes("bgr", zero_to_1=True), BLOCKS, 2e-5)
    return content, wanted


def partial_fc() -> tuple[dict, torch.Tensor]:
    shapes = {key: tuple(value.shape) for key, value in published_state(18).items()}
    state = paper.random_state(shapes, seed=2)
    optimiser = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
    content = {
        "epoch": 1,
        "global_step": 5,
        "state_dict_backbone": prefixed(state, "module."),
        "state_dict_softmax_fc": {"weight": torch.zeros(9, 512)},
        "state_optimizer": optimiser,
        "state_lr_scheduler": {"last_epoch": 1, "base_lrs": [0.1]},
    }
    return content, paper.iresnet_forward(state, planes("rgb"), BLOCKS, 1e-5)


def arcface_vit() -> tuple[dict, torch.Tensor]:
    state = paper.random_state(paper.vit_shapes(256, 12))
    return state, paper.vit_forward(state, planes("rgb"), heads=8)


def arcface_mbf() -> tuple[dict, torch.Tensor]:
    network = paper.MbfOnPaper()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    state = paper.random_state(shapes)
    network.load_state_dict(state)
    with torch.no_grad():
        return state, network.eval()(planes("rgb"))


# what it takes, and the backbone that it is of
KINDS = {
    "adaface": (adaface, "bgr_minus1_to_1", "ir18"),
    "cvlface": (cvlface_ir, "minus1_to_1", "ir18"),
    "magface": (magface, "bgr_zero_to_1", "iresnet18"),
    "partial_fc": (partial_fc, "minus1_to_1", "iresnet18"),
    "arcface_vit": (arcface_vit, "minus1_to_1", "vit-t"),
    "arcface_mbf": (arcface_mbf, "minus1_to_1", "mobilefacenet-large"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_is_a_recogniser_a_beginning_and_an_onnx(tmp_path, kind):
    make, normalisation, backbone = KINDS[kind]
    content, wanted = make()
    path = tmp_path / "theirs.ckpt"
    torch.save(content, path)
    embedder = load_embedder(path)
    assert (embedder.normalisation, embedder.embedding_size) == (normalisation, 512)
    scale = wanted.abs().max().item()
    np.testing.assert_allclose(embedder.embed(FACES), wanted.numpy(), atol=2e-4 * scale, rtol=0)
    assert (wanted[0] - wanted[1]).abs().max() > 0.01 * scale, "faces are told apart"

    teacher = types.SimpleNamespace(embedding_size=512)
    spec = StudentSpec(backbone, 1.0, None, str(path), 0)
    student, size, parent = networks.make_student(spec, teacher, "-")
    assert size == 512 and parent["name"] == path.name
    form = preprocess.input_of_network(student)
    assert form.text == normalisation
    with torch.inference_mode():
        begun = student.eval()(preprocess.to_tensor(FACES, form)).numpy()
    np.testing.assert_allclose(begun, wanted.numpy(), atol=2e-4 * scale, rtol=0)

    proto, _ = export.export_graph(student, export.OPSETS[0])
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    fed = {session.get_inputs()[0].name: preprocess.to_input(FACES, form)}
    np.testing.assert_allclose(session.run(None, fed)[0], begun, atol=2e-4 * scale, rtol=0)


@pytest.mark.slow
def test_the_user_overrules_the_publisher(tmp_path):
    state = paper.random_state(paper.ir_shapes(BLOCKS))
    torch.save({"state_dict": prefixed(state, "model.")}, tmp_path / "a.ckpt")
    embedder = load_embedder(f"{tmp_path / 'a.ckpt'}:minus1_to_1")
    assert embedder.normalisation == "minus1_to_1"
    wanted = paper.ir_forward(state, planes("rgb"), BLOCKS).numpy()
    found = embedder.embed(FACES)
    np.testing.assert_allclose(found, wanted, atol=2e-4 * np.abs(wanted).max(), rtol=0)


def ir_keys(prefix: str) -> dict:
    shapes = paper.ir_shapes(BLOCKS)
    return {"": {prefix + key: torch.empty(shape, device="meta") for key, shape in shapes.items()}}


def test_keys_that_do_not_tell_the_order_of_channels_are_not_guessed_at():
    with pytest.raises(KitError, match=r"a\.pt: .*RGB or BGR: write a\.pt:bgr_minus1_to_1"):
        publishers.adopt(ir_keys(""), "a.pt")
    _, form = publishers.adopt(ir_keys(""), "a.pt", "bgr_minus1_to_1")
    assert form.order == "bgr"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("conv2d_1a.conv.weight", "InceptionResnetV1: it takes faces of 160x160"),
        ("net.keypoint_linear.weight", "KPRPE: it needs the landmarks"),
        ("net.blocks.3.attn.rpe_k.lookup_table_weight", "iRPE"),
        ("net.body.0.res_layer.se_block.fc1.weight", "squeeze and excitation"),
    ],
)
def test_what_does_not_load_is_refused_with_the_reason(key, words):
    states = {"": {key: torch.zeros(1), "net.patch_embed.proj.weight": torch.zeros(1)}}
    with pytest.raises(KitError, match=words):
        weights.backbone_in(states, "theirs.pt")


SHAPES = {
    "vit-s": paper.vit_shapes(512, 12),
    "vit-b": paper.vit_shapes(512, 24),
    "vit-l": paper.vit_shapes(768, 24),
    "vit-s8": paper.vit_shapes(512, 12, patch=8, expansion=5),
    "vit-b8": paper.vit_shapes(512, 24, patch=8, expansion=3),
    "ir50": paper.ir_shapes((3, 4, 14, 3)),
    "ir101": paper.ir_shapes((3, 13, 30, 3)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_large_ones_have_the_published_names_and_shapes(name):
    with torch.device("meta"):
        own = weights.build_backbone(name).state_dict()
    assert {key: tuple(value.shape) for key, value in own.items()} == SHAPES[name]


def test_cvlfaces_heads_and_patches_without_a_mask_token():
    """Its 'base' with two blocks: 16 heads, patches of 8, three times as wide inside."""
    shapes = paper.vit_shapes(64, 2, patch=8, expansion=3, size=32)
    state = paper.random_state({key: s for key, s in shapes.items() if key != "mask_token"})
    model = _vit.VisionTransformer(_vit.Shape(64, 2, heads=16, patch=8, expansion=3), 32)
    load_state(model, prefixed(state, "net."), "theirs")
    wanted = paper.vit_forward(state, planes("rgb"), heads=16)
    with torch.no_grad():
        found = model.eval()(planes("rgb"))
    torch.testing.assert_close(found, wanted, atol=1e-4 * wanted.abs().max().item(), rtol=0)
    assert (model.mask_token == 0).all()
    form = publishers.adopt({"": prefixed(state, "net.")}, "theirs")[1]
    assert form.text == "minus1_to_1"


def test_the_page_is_what_the_command_prints():
    page = Path(__file__).parents[2] / "docs" / "reference" / "checkpoints.md"
    assert page.read_text(encoding="utf-8") == publishers.to_markdown()


def test_every_backbone_on_the_page_exists():
    known = set(registry.names(weights.BACKBONES))
    named = [name for p in publishers.PUBLISHERS if p.backbones for name in p.backbones.split(", ")]
    assert named and set(named) <= known
