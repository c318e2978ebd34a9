import pytest
import torch
from torch import nn

from mfr_kit import registry
from mfr_kit.errors import KitError
from mfr_kit.models.weights import BACKBONES, build_backbone

# vit-s and ir50 but deeper or wider: tests/models/test_vit.py counts them
DEEP = {"ir101", "ir50", "vit-b", "vit-b8", "vit-l", "vit-s8"}
NAMES = [name for name in registry.names(BACKBONES) if name not in DEEP]


def parameters(model) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_every_backbone_embeds_trains_and_narrows(name):
    torch.manual_seed(0)
    model = build_backbone(name, embedding_size=32, width=0.25)
    embeddings = model(torch.randn(2, 3, 112, 112))
    assert embeddings.shape == (2, 32)
    embeddings.square().sum().backward()
    silent = [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert silent == []
    assert parameters(model) < parameters(build_backbone(name, embedding_size=32, width=0.5))


@pytest.mark.parametrize("name", NAMES)
def test_a_face_is_embedded_alike_alone_and_in_a_batch(name):
    torch.manual_seed(0)
    model = build_backbone(name, width=0.25)
    batch = torch.randn(3, 3, 112, 112)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # take over the statistics of the one batch that follows
    model(batch)
    model.eval()
    with torch.no_grad():
        together, alone = model(batch), model(batch[1:2])
    torch.testing.assert_close(
        together[1:2], alone, atol=1e-3 * together.abs().max().item(), rtol=0
    )
    assert nn.functional.cosine_similarity(together[:1], alone).item() < 0.99


def test_mobilefacenet_has_the_papers_size():
    assert 0.95e6 < parameters(build_backbone("mobilefacenet")) < 1.1e6  # the paper says 0.99 M


def test_impossible_shapes_are_refused():
    with pytest.raises(KitError, match="--width"):
        build_backbone("mobilefacenet", width=0)
    with pytest.raises(KitError, match="Did you mean 'mobilefacenet'"):
        build_backbone("mobilefacenett")
