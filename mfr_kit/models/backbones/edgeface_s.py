"""EdgeFace-S: EdgeNeXt small with linear layers of rank 0.5, key-compatible with
edgeface_s_gamma_05.
"""

from torch import nn

from mfr_kit.models.backbones import _edgenext

EMBEDDING_SIZE = _edgenext.EMBEDDING_SIZE
SHAPE = _edgenext.Shape((3, 3, 9, 3), (48, 96, 160, 304), heads=8, rank=0.5)


def build(embedding_size: int = EMBEDDING_SIZE, width: float = 1.0) -> nn.Module:
    """Make one with random weights."""
    return _edgenext.EdgeNeXt(SHAPE, embedding_size, width)
