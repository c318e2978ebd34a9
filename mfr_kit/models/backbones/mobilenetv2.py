"""MobileNetV2 for 112x112 faces: stride 1 in the stem and a depthwise convolution over the last map
instead of a pooling.

Source: Sandler et al., *MobileNetV2: Inverted Residuals and Linear Bottlenecks* (arXiv 1801.04381),
    table 2, with the 7x7 global
depthwise convolution of MobileFaceNet; the usual student of the face-distillation papers.
"""

import torch
from torch import Tensor, nn

EMBEDDING_SIZE = 512
# t, c, n, s
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Expand 1x1, filter 3x3 depthwise, project 1x1 without activation; a shortcut where the
    shape stays.
    """

    def __init__(self, before: int, after: int, expansion: int, stride: int):
        super().__init__()
        middle = before * expansion
        layers: list[nn.Module] = [_conv(before, middle, 1)] if expansion > 1 else []
        layers += [
            _conv(middle, middle, 3, stride, groups=middle),
            nn.Conv2d(middle, after, 1, bias=False),
            nn.BatchNorm2d(after),
        ]
        self.conv = nn.Sequential(*layers)
        self.shortcut = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    """(B, 3, 112, 112) float in [-1, 1] -> (B, D) raw embeddings."""

    def __init__(self, embedding_size: int = EMBEDDING_SIZE, width: float = 1.0):
        super().__init__()
        channels = _scaled(32, width)
        blocks: list[nn.Module] = [_conv(3, channels, 3)]
        for expansion, out, repeats, stride in STAGES:
            for number in range(repeats):
                after = _scaled(out, width)
                blocks.append(
                    InvertedResidual(channels, after, expansion, stride if number == 0 else 1)
                )
                channels = after
        wide = _scaled(1280, width)
        self.features = nn.Sequential(*blocks, _conv(channels, wide, 1))
        self.pool = nn.Sequential(
            nn.Conv2d(wide, wide, 7, groups=wide, bias=False), nn.BatchNorm2d(wide)
        )
        self.embed = nn.Linear(wide, embedding_size, bias=False)
        self.norm = nn.BatchNorm1d(embedding_size)

    def forward(self, faces: Tensor) -> Tensor:
        return self.norm(self.embed(torch.flatten(self.pool(self.features(faces)), 1)))


def build(embedding_size: int = EMBEDDING_SIZE, width: float = 1.0) -> nn.Module:
    """Make one with random weights."""
    return MobileNetV2(embedding_size, width)


def _scaled(channels: int, width: float) -> int:
    return max(8, int(channels * width / 8 + 0.5) * 8)


def _conv(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after),
        nn.PReLU(after),
    )
