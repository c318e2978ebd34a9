"""IR-50, key-compatible with AdaFace's and CVLface's IR_50."""

from torch import nn

from mfr_kit.models.backbones import _ir

EMBEDDING_SIZE = _ir.EMBEDDING_SIZE


def build(embedding_size: int = EMBEDDING_SIZE, width: float = 1.0) -> nn.Module:
    """Make one with random weights."""
    return _ir.build((3, 4, 14, 3), embedding_size, width)
