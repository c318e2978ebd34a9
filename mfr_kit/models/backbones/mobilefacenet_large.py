"""MobileFaceNet with twice the channels between its blocks, key-compatible with arcface_torch's
mbf.
"""

from torch import nn

from mfr_kit.models.backbones import _mbf

EMBEDDING_SIZE = _mbf.EMBEDDING_SIZE


def build(embedding_size: int = EMBEDDING_SIZE, width: float = 1.0) -> nn.Module:
    """Make one with random weights."""
    return _mbf.MobileFaceNet((1, 4, 6, 2), 2, embedding_size, width)
