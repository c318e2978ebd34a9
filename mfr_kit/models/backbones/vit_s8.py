"""A ViT of 8x8 patches, key-compatible with CVLface's vit 'small'."""

from torch import nn

from mfr_kit.models.backbones import _vit

EMBEDDING_SIZE = _vit.EMBEDDING_SIZE
SHAPE = _vit.Shape(512, 12, heads=8, patch=8, expansion=5)


def build(embedding_size: int = EMBEDDING_SIZE, width: float = 1.0) -> nn.Module:
    """Make one with random weights."""
    return _vit.VisionTransformer(SHAPE, embedding_size, width)
