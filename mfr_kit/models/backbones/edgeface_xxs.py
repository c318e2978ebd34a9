"""EdgeFace-XXS: EdgeNeXt xx-small with whole linear layers, key-compatible with edgeface_xxs."""

from torch import nn

from mfr_kit.models.backbones import _edgenext

EMBEDDING_SIZE = _edgenext.EMBEDDING_SIZE
SHAPE = _edgenext.Shape((2, 2, 6, 2), (24, 48, 88, 168), heads=4)


def build(embedding_size: int = EMBEDDING_SIZE, width: float = 1.0) -> nn.Module:
    """Make one with random weights."""
    return _edgenext.EdgeNeXt(SHAPE, embedding_size, width)
