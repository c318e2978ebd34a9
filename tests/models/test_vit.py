"""The backbones of arcface_torch, LVFace, AdaFace and CVLface: their published costs, and tokens
left out in training.
"""

import pytest
import torch
from torch import nn

from mfr_kit.models.backbones import _vit
from mfr_kit.models.measure import cost_of
from mfr_kit.models.weights import build_backbone
from mfr_kit.training.recompute import recompute_blocks


@pytest.mark.parametrize(
    ("name", "billions"),
    # multiply-adds, "FLOPs" in arcface_torch's README, "ViT For Face Recognition"; its r18, r50 and
    # r100 are AdaFace's IR-18, 50 and 101; "mobilefacenet-0.45G" stands in the first table
    [
        ("vit-t", 1.5),
        ("vit-s", 5.7),
        ("vit-b", 11.4),
        ("vit-l", 25.3),
        ("ir18", 2.6),
        ("ir50", 6.3),
        ("ir101", 12.1),
        ("mobilefacenet-large", 0.45),
    ],
)
def test_multiply_adds_are_the_published_ones(name, billions):
    assert cost_of(name).flops / 2e9 == pytest.approx(billions, rel=0.03)


def small(mask_ratio: float) -> _vit.VisionTransformer:
    torch.manual_seed(0)
    return _vit.VisionTransformer(_vit.Shape(32, 2, heads=4, patch=16), 8, mask_ratio=mask_ratio)


def tokens_seen(model: _vit.VisionTransformer, faces: torch.Tensor) -> list[torch.Tensor]:
    """What the first block gets at a call."""
    seen: list[torch.Tensor] = []
    hook = model.blocks[0].register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    model(faces)
    hook.remove()
    return seen


def test_training_leaves_tokens_of_each_face_out_and_others_each_time():
    model, faces = small(0.25), torch.randn(2, 3, 112, 112)
    whole = model.patch_embed(faces).flatten(2).transpose(1, 2) + model.pos_embed
    first, second = tokens_seen(model, faces)[0], tokens_seen(model, faces)[0]
    assert first.shape == (2, 36, 32)  # three quarters of 7 x 7
    for kept in (first, second):
        apart = torch.cdist(kept, whole, compute_mode="donot_use_mm_for_euclid_dist")
        assert (apart.min(dim=2).values < 1e-4).all(), "what is kept stands among all"
        assert all(len(set(row.argmin(dim=1).tolist())) == 36 for row in apart), "none twice"
    assert not torch.equal(first, second)
    assert tokens_seen(model.eval(), faces)[0].shape == (2, 49, 32)


def test_what_is_left_out_is_the_mask_token_at_its_place():
    model = small(0.25)
    model.blocks, model.norm = nn.Sequential(), nn.Identity()
    x = torch.randn(2, 49, 32)
    found = model._encode_some(x)
    masked = (found == model.mask_token).all(dim=2)
    assert masked.sum(dim=1).tolist() == [13, 13]
    assert torch.equal(found[~masked], x[~masked])


def test_no_ratio_leaves_nothing_out():
    model, faces = small(0.0), torch.randn(2, 3, 112, 112)
    assert tokens_seen(model, faces)[0].shape[1] == 49


def test_the_draw_goes_by_torchs_seed():
    model, faces = small(0.25), torch.randn(3, 3, 112, 112)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(model(faces))
    torch.testing.assert_close(found[0], found[1])
    assert not torch.allclose(found[0], found[2])


def test_the_blocks_are_computed_again_on_demand():
    assert recompute_blocks(small(0.25)) == 3  # the patches, and two blocks


def test_a_vit_learns():
    """A few steps towards fixed embeddings: the loss falls to a fraction."""
    model, faces = small(0.1), torch.randn(8, 3, 112, 112)
    wanted = nn.functional.normalize(torch.randn(8, 8))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = 1 - nn.functional.cosine_similarity(model(faces), wanted).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3


def test_width_narrows_a_vit_by_whole_heads():
    assert build_backbone("vit-t", 16, 0.13).pos_embed.shape[2] == 32
