"""A ViT of 8x8 patches, key-compatible with CVLface's vit 'base'."""

from torch import nn

from mfr_kit.models.backbones import _vit

EMBEDDING_SIZE = _vit.EMBEDDING_SIZE
SHAPE = _vit.Shape(512, 24, heads=16, patch=8, expansion=3)


def build(embedding_size: int = EMBEDDING_SIZE, width: float = 1.0) -> nn.Module:
    """Make one with random weights."""
    return _vit.VisionTransformer(SHAPE, embedding_size, width)
