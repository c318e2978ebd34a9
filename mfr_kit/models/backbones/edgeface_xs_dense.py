"""EdgeFace-XS with whole linear layers: key-compatible with edgeface_xs_q, which is published in
int8, once read as float32.
"""

from torch import nn

from mfr_kit.models.backbones import _edgenext

EMBEDDING_SIZE = _edgenext.EMBEDDING_SIZE
SHAPE = _edgenext.Shape((3, 3, 9, 3), (32, 64, 100, 192), heads=4)


def build(embedding_size: int = EMBEDDING_SIZE, width: float = 1.0) -> nn.Module:
    """Make one with random weights."""
    return _edgenext.EdgeNeXt(SHAPE, embedding_size, width)
