"""IResNet50: ArcFace's residual network, key-compatible with arcface_torch's r50."""

from torch import nn

from mfr_kit.models.backbones import _iresnet

EMBEDDING_SIZE = _iresnet.EMBEDDING_SIZE


def build(embedding_size: int = EMBEDDING_SIZE, width: float = 1.0) -> nn.Module:
    """Make one with random weights."""
    return _iresnet.build((3, 4, 14, 3), embedding_size, width)
