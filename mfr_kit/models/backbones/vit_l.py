"""ViT-L for 112x112 faces, key-compatible with arcface_torch's vit_l and LVFace's LVFace-L."""

from torch import nn

from mfr_kit.models.backbones import _vit

EMBEDDING_SIZE = _vit.EMBEDDING_SIZE
SHAPE = _vit.Shape(768, 24)


def build(embedding_size: int = EMBEDDING_SIZE, width: float = 1.0) -> nn.Module:
    """Make one with random weights."""
    return _vit.VisionTransformer(SHAPE, embedding_size, width)
