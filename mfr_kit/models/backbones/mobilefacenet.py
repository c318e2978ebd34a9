"""MobileFaceNet: inverted residuals and a global depthwise convolution instead of a pooling.

Source: Chen, Liu, Gao, Han, *MobileFaceNets: Efficient CNNs for Accurate Real-Time Face
    Verification on Mobile Devices*
(arXiv 1804.07573), table 1; the width factor multiplies every channel count, rounded to a multiple
of 8.
"""

from typing import Any

import torch
from torch import Tensor, nn

from mfr_kit.models.backbones._convs import conv_layers

EMBEDDING_SIZE = 128
# expansion, channels, blocks, first stride
STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


class Bottleneck(nn.Module):
    """Expand 1x1, filter 3x3 depthwise, project 1x1 without activation; a shortcut where the
    shape stays.
    """

    def __init__(self, before: int, after: int, expansion: int, stride: int):
        super().__init__()
        middle = before * expansion
        self.shortcut = stride == 1 and before == after
        self.expand = _conv(before, middle, 1)
        self.filter = _conv(middle, middle, 3, stride, groups=middle)
        self.project = _conv(middle, after, 1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.filter(self.expand(x)))
        return x + y if self.shortcut else y


class MobileFaceNet(nn.Module):
    """(B, 3, 112, 112) float in [-1, 1] -> (B, D) raw embeddings."""

    def __init__(self, embedding_size: int = EMBEDDING_SIZE, width: float = 1.0):
        super().__init__()
        channels = _scaled(64, width)
        self.stem = nn.Sequential(
            _conv(3, channels, 3, 2), _conv(channels, channels, 3, groups=channels)
        )
        blocks = []
        for expansion, out, repeats, stride in STAGES:
            for number in range(repeats):
                after = _scaled(out, width)
                blocks.append(Bottleneck(channels, after, expansion, stride if number == 0 else 1))
                channels = after
        self.blocks = nn.Sequential(*blocks)
        wide = _scaled(512, width)
        self.widen = _conv(channels, wide, 1)
        self.pool = _conv(wide, wide, 7, groups=wide, act=False, padding=0)
        self.embed = nn.Conv2d(wide, embedding_size, 1, bias=False)
        self.norm = nn.BatchNorm1d(embedding_size)

    def forward(self, faces: Tensor) -> Tensor:
        x = self.pool(self.widen(self.blocks(self.stem(faces))))
        return self.norm(torch.flatten(self.embed(x), 1))


def build(embedding_size: int = EMBEDDING_SIZE, width: float = 1.0) -> nn.Module:
    """Make a MobileFaceNet with random weights."""
    return MobileFaceNet(embedding_size, width)


def _scaled(channels: int, width: float) -> int:
    return max(8, int(channels * width / 8 + 0.5) * 8)


def _conv(*shape: int, **how: Any) -> nn.Sequential:
    return nn.Sequential(*conv_layers(*shape, **how))
