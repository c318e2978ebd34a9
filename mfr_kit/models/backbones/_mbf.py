"""MobileFaceNet as arcface_torch shapes and names it: wider between its blocks than the paper's,
with the same number of channels inside them.

Source: Chen et al., *MobileFaceNets* (arXiv 1804.07573); arcface_torch's backbones/mobilefacenet.py
    for the widths and the names.
"""

from typing import Any

from torch import Tensor, nn

from mfr_kit.models.backbones._convs import conv_layers

EMBEDDING_SIZE = 512


class Layers(nn.Module):
    """Layers in a row, under the name `layers`; added to their input where `shortcut`."""

    def __init__(self, *layers: nn.Module, shortcut: bool = False):
        super().__init__()
        self.shortcut = shortcut
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.shortcut else self.layers(x)


class MobileFaceNet(nn.Module):
    """(B, 3, 112, 112) float in [-1, 1] -> (B, D) raw embeddings.

    Args:
        blocks: how many in each of the four stages.
        scale: factor on the channels between the blocks.
        embedding_size: D.
        width: factor on all channels, inside the blocks too; arcface_torch's weights need 1.
    """

    def __init__(
        self,
        blocks: tuple[int, int, int, int],
        scale: int,
        embedding_size: int = EMBEDDING_SIZE,
        width: float = 1.0,
    ):
        super().__init__()
        unit = max(1, int(8 * width + 0.5)) * 8
        thin, wide, last = unit * scale, 2 * unit * scale, 8 * unit
        first = (
            _conv(thin, thin, 3, groups=unit)
            if blocks[0] == 1
            else _stage(thin, 2 * unit, blocks[0])
        )
        self.layers = nn.Sequential(
            _conv(3, thin, 3, 2),
            first,
            _bottleneck(thin, thin, 2 * unit, 2),
            _stage(thin, 2 * unit, blocks[1]),
            _bottleneck(thin, wide, 4 * unit, 2),
            _stage(wide, 4 * unit, blocks[2]),
            _bottleneck(wide, wide, 8 * unit, 2),
            _stage(wide, 4 * unit, blocks[3]),
        )
        self.conv_sep = _conv(wide, last, 1)
        self.features = Layers(
            _conv(last, last, 7, groups=last, act=False, padding=0),
            nn.Flatten(),
            nn.Linear(last, embedding_size, bias=False),
            nn.BatchNorm1d(embedding_size),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, faces: Tensor) -> Tensor:
        return self.features(self.conv_sep(self.layers(faces)))


def _stage(channels: int, middle: int, repeats: int) -> Layers:
    return Layers(
        *(_bottleneck(channels, channels, middle, 1, shortcut=True) for _ in range(repeats))
    )


def _bottleneck(
    before: int, after: int, middle: int, stride: int, *, shortcut: bool = False
) -> Layers:
    """Bring the channels to `middle`, filter each by itself, project without activation."""
    return Layers(
        _conv(before, middle, 1),
        _conv(middle, middle, 3, stride, groups=middle),
        _conv(middle, after, 1, act=False),
        shortcut=shortcut,
    )


def _conv(*shape: int, **how: Any) -> Layers:
    return Layers(*conv_layers(*shape, **how))
