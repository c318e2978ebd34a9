import pytest
import torch

from mfr_kit import registry
from mfr_kit.errors import KitError
from mfr_kit.models.weights import BACKBONES, build_backbone


def parameters(model) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", registry.names(BACKBONES))
def test_every_backbone_embeds_trains_and_narrows(name):
    torch.manual_seed(0)
    model = build_backbone(name, embedding_size=32, width=0.25)
    embeddings = model(torch.randn(2, 3, 112, 112))
    assert embeddings.shape == (2, 32)
    embeddings.square().sum().backward()
    silent = [key for key, p in model.named_parameters() if p.grad is None]
    assert silent == []
    assert parameters(model) < parameters(build_backbone(name, embedding_size=32, width=0.5))


@pytest.mark.parametrize("name", registry.names(BACKBONES))
def test_a_face_is_embedded_alike_alone_and_in_a_batch(name):
    model = build_backbone(name, width=0.25).eval()
    batch = torch.randn(3, 3, 112, 112)
    with torch.no_grad():
        torch.testing.assert_close(model(batch)[1:2], model(batch[1:2]), atol=1e-4, rtol=1e-4)


def test_mobilefacenet_has_the_papers_size():
    assert 0.95e6 < parameters(build_backbone("mobilefacenet")) < 1.1e6  # the paper says 0.99 M


def test_impossible_shapes_are_refused():
    with pytest.raises(KitError, match="--width"):
        build_backbone("mobilefacenet", width=0)
    with pytest.raises(KitError, match="Did you mean 'mobilefacenet'"):
        build_backbone("mobilefacenett")
