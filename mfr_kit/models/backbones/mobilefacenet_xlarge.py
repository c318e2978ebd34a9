"""MobileFaceNet with twice the blocks and four times the channels between them, key-compatible with
arcface_torch's mbf_large.
"""

from torch import nn

from mfr_kit.models.backbones import _mbf

EMBEDDING_SIZE = _mbf.EMBEDDING_SIZE


def build(embedding_size: int = EMBEDDING_SIZE, width: float = 1.0) -> nn.Module:
    """Make one with random weights."""
    return _mbf.MobileFaceNet((2, 8, 12, 4), 4, embedding_size, width)
