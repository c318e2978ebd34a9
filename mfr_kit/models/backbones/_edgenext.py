"""EdgeNeXt for 112x112 faces, with EdgeFace's low-rank linear layers, named as timm names them, so
that EdgeFace's published state dicts load as they are.

Source: Maaz et al., *EdgeNeXt: Efficiently Amalgamated CNN-Transformer Architecture for Mobile
    Vision Applications* (arXiv 2206.10589); George et al., *EdgeFace: Efficient Face Recognition
    Model for Edge Devices* (arXiv 2307.01838), section III; positions as in El-Nouby et al., *XCiT*
    (arXiv 2106.09681).
"""

import math
from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

EMBEDDING_SIZE = 512
KERNELS = (3, 5, 7, 9)  # of a stage's depthwise convolutions
SCALES = (2, 2, 3, 4)  # pieces that a stage's last block splits its channels into
POSITIONED = 1  # the stage whose attention is told where its tokens are
FREQUENCIES = 32  # of the position encoding, for each axis
PERIOD = 10_000.0  # of the slowest of them
EXPANSION = 4
EPS = 1e-6
SMALLEST = 16  # channels, whatever the width
# CaiT (arXiv 2103.17239), section 2.1, for networks of up to 18 blocks; with EdgeNeXt's 1e-6 a
# short training by SGD moves no block
LAYER_SCALE = 0.1


@dataclass(frozen=True)
class Shape:
    """What tells one EdgeFace from another.

    `blocks` and `channels` are of the four stages; the last block of the second to fourth stage is
    one of attention, with `heads` heads. `rank` is the share of a linear layer's smaller side that
    passes between its two factors; None: linear layers are whole.
    """

    blocks: tuple[int, int, int, int]
    channels: tuple[int, int, int, int]
    heads: int
    rank: float | None = None


class LowRankLinear(nn.Module):
    """A linear layer as the product of two: `before` -> `rank` -> `after`."""

    def __init__(self, before: int, after: int, rank: int):
        super().__init__()
        self.linear1 = nn.Linear(before, rank, bias=False)
        self.linear2 = nn.Linear(rank, after)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.linear1(x))


class ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of each position, (B, C, H, W) -> the same."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Mlp(nn.Module):
    """Widen the last axis, GELU, narrow it again."""

    def __init__(self, channels: int, rank: float | None):
        super().__init__()
        self.fc1 = _linear(channels, EXPANSION * channels, rank)
        self.fc2 = _linear(EXPANSION * channels, channels, rank)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class ConvBlock(nn.Module):
    """EdgeNeXt's convolution encoder: a depthwise convolution, then an MLP at each position,
    added to the input.
    """

    def __init__(self, channels: int, kernel: int, rank: float | None):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), LAYER_SCALE))
        self.conv_dw = _depthwise(channels, kernel)
        self.norm = nn.LayerNorm(channels, EPS)
        self.mlp = Mlp(channels, rank)

    def forward(self, x: Tensor) -> Tensor:
        y = self.mlp(self.norm(self.conv_dw(x).permute(0, 2, 3, 1)))
        return x + (self.gamma * y).permute(0, 3, 1, 2)


class PositionEncoding(nn.Module):
    """Sines and cosines of a position's row and column, projected to the channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.token_projection = nn.Conv2d(2 * FREQUENCIES, channels, 1)

    def forward(self, height: int, width: int) -> Tensor:
        """Return (1, C, height, width)."""
        waves = position_waves(height, width).to(self.token_projection.weight)
        return self.token_projection(waves)


class CrossCovarianceAttention(nn.Module):
    """Attention between channels instead of positions (XCA): (B, N, C) -> the same.

    Its cost grows with the number of positions, not with its square.
    """

    def __init__(self, channels: int, heads: int, rank: float | None):
        super().__init__()
        self.heads, self.channels = heads, channels
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = _linear(channels, 3 * channels, rank)
        self.proj = _linear(channels, channels, rank)

    def forward(self, x: Tensor) -> Tensor:
        positions, size = int(x.shape[1]), self.channels // self.heads
        rows = self.qkv(x).transpose(1, 2).reshape(-1, 3 * self.heads, size, positions)
        query, key, value = rows.split([self.heads] * 3, dim=1)  # each (B, heads, C / heads, N)
        likeness = (_unit(query) @ _unit(key).transpose(-2, -1)) * self.temperature
        mixed = likeness.softmax(dim=-1) @ value
        return self.proj(mixed.reshape(-1, self.channels, positions).transpose(1, 2))


class AttentionBlock(nn.Module):
    """EdgeNeXt's split depthwise transpose attention encoder (SDTA): depthwise convolutions over
    ever more of the channels, attention between channels, an MLP, added to the input.
    """

    def __init__(
        self, channels: int, scales: int, heads: int, rank: float | None, *, positioned: bool
    ):
        super().__init__()
        piece = math.ceil(channels / scales)
        self.pieces = [piece] * (scales - 1) + [channels - piece * (scales - 1)]
        self.gamma_xca = nn.Parameter(torch.full((channels,), LAYER_SCALE))
        self.gamma = nn.Parameter(torch.full((channels,), LAYER_SCALE))
        self.convs = nn.ModuleList(_depthwise(piece, 3) for _ in self.pieces[:-1])
        self.pos_embd = PositionEncoding(channels) if positioned else None
        self.norm_xca = nn.LayerNorm(channels, EPS)
        self.xca = CrossCovarianceAttention(channels, heads, rank)
        self.norm = nn.LayerNorm(channels, EPS)
        self.mlp = Mlp(channels, rank)

    def forward(self, x: Tensor) -> Tensor:
        channels, height, width = (int(side) for side in x.shape[1:])
        y = self._mix(x)
        if self.pos_embd is not None:
            y = y + self.pos_embd(height, width)
        y = y.reshape(-1, channels, height * width).transpose(1, 2)
        y = y + self.gamma_xca * self.xca(self.norm_xca(y))
        y = self.gamma * self.mlp(self.norm(y))
        return x + y.transpose(1, 2).reshape(-1, channels, height, width)

    def _mix(self, x: Tensor) -> Tensor:
        """Filter piece after piece of the channels, each with what came of the one before; the
        last piece stays.
        """
        pieces = x.split(self.pieces, dim=1)
        mixed = [self.convs[0](pieces[0])]
        for conv, piece in zip(self.convs[1:], pieces[1:-1], strict=True):
            mixed.append(conv(mixed[-1] + piece))
        return torch.cat([*mixed, pieces[-1]], dim=1)


class EdgeNeXt(nn.Module):
    """(B, 3, 112, 112) float in [-1, 1] -> (B, D) raw embeddings.

    Args:
        shape: blocks, channels, heads and rank.
        embedding_size: D.
        width: factor on the channels, rounded to a multiple of the heads; EdgeFace's weights need
            1.
    """

    def __init__(self, shape: Shape, embedding_size: int = EMBEDDING_SIZE, width: float = 1.0):
        super().__init__()
        wide = [
            max(SMALLEST, round(channels * width / shape.heads) * shape.heads)
            for channels in shape.channels
        ]
        self.stem = nn.Sequential(nn.Conv2d(3, wide[0], 4, 4), ChannelNorm(wide[0], EPS))
        self.stages = nn.Sequential(*(_stage(shape, number, wide) for number in range(len(wide))))
        self.head = nn.Sequential(
            OrderedDict(
                norm=nn.LayerNorm(wide[-1], EPS),
                fc=_linear(wide[-1], embedding_size, shape.rank),
            )
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, faces: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(faces)).mean(dim=(2, 3)))

    def parameters_by_layer(self) -> list[list[Tensor]]:
        """Group the weights as `--freeze-layers` counts them: the stem, each downsampling, each
        block, the head.
        """
        layers = [self.stem, *(part for stage in self.stages for part in _parts(stage)), self.head]
        grouped: list[list[Tensor]] = [[*layer.parameters()] for layer in layers]
        return [parameters for parameters in grouped if parameters]


def position_waves(height: int, width: int) -> Tensor:
    """Return (1, 2 * FREQUENCIES, height, width) sines and cosines, those of the row before those
    of the column, sine and cosine of a frequency side by side.
    """
    steps = torch.arange(FREQUENCIES // 2, dtype=torch.float64)
    periods = PERIOD ** (2 * steps / FREQUENCIES)

    def along(size: int) -> Tensor:
        place = torch.arange(1, size + 1, dtype=torch.float64) / (size + EPS) * 2 * math.pi
        angles = place[:, None] / periods
        return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1).T  # (FREQUENCIES, size)

    rows = along(height)[:, :, None].expand(-1, -1, width)
    columns = along(width)[:, None, :].expand(-1, height, -1)
    return torch.cat([rows, columns])[None]


def _unit(rows: Tensor) -> Tensor:
    """Divide by the length along the last axis; `nn.functional.normalize` would be three more
    nodes of an exported graph.
    """
    return rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def _stage(shape: Shape, number: int, wide: list[int]) -> nn.Sequential:
    channels, blocks = wide[number], shape.blocks[number]
    before = wide[number - 1]
    downsample = (
        nn.Sequential(ChannelNorm(before, EPS), nn.Conv2d(before, channels, 2, 2))
        if number
        else nn.Identity()
    )
    layers: list[nn.Module] = [
        ConvBlock(channels, KERNELS[number], shape.rank) for _ in range(blocks)
    ]
    if number:
        layers[-1] = AttentionBlock(
            channels, SCALES[number], shape.heads, shape.rank, positioned=number == POSITIONED
        )
    return nn.Sequential(OrderedDict(downsample=downsample, blocks=nn.Sequential(*layers)))


def _parts(stage: nn.Module) -> list[nn.Module]:
    return [stage.get_submodule("downsample"), *stage.get_submodule("blocks").children()]


def _depthwise(channels: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)


def _linear(before: int, after: int, rank: float | None) -> nn.Module:
    if rank is None:
        return nn.Linear(before, after)
    return LowRankLinear(before, after, max(2, int(min(before, after) * rank)))
