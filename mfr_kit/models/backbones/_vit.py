"""A vision transformer for 112x112 faces, named as arcface_torch names it, so that its state dicts
and LVFace's load as they are: all tokens go into the embedding, there is no class token.

Source: Dosovitskiy et al., *An Image is Worth 16x16 Words* (arXiv 2010.11929); An et al., *Killing
    Two Birds with One Stone* (arXiv 2203.15565) and arcface_torch's backbones/vit.py for the shapes
    and the head; You et al., *LVFace* (arXiv 2501.13420); tokens left out as in He et al., *Masked
    Autoencoders* (arXiv 2111.06377).
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

EMBEDDING_SIZE = 512
SIDE = 112
MASK_RATIO = 0.1  # share of the tokens that a training step leaves out
DROP_PATH = 0.1  # of the last block; it grows linearly with the depth
EPS = 2e-5  # of the head's batch norms


@dataclass(frozen=True)
class Shape:
    """What tells one of them from another: tokens of `patch` x `patch` pixels, `channels` of each,
    `depth` blocks of `heads` heads, and how much wider than a token an MLP is.
    """

    channels: int
    depth: int
    heads: int = 8
    patch: int = 9
    expansion: int = 4


class Mlp(nn.Module):
    """Widen the last axis, ReLU6, narrow it again."""

    def __init__(self, channels: int, expansion: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, expansion * channels)
        self.fc2 = nn.Linear(expansion * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(nn.functional.relu6(self.fc1(x)))


class Attention(nn.Module):
    """Every token looks at every other: (B, N, C) -> the same."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.channels, self.heads = channels, heads
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        tokens, size = int(x.shape[1]), self.channels // self.heads
        # (B, N, 3 H, C / H) -> (B, 3 H, N, C / H)
        rows = self.qkv(x).reshape(-1, tokens, 3 * self.heads, size).transpose(1, 2)
        query, key, value = rows.split([self.heads] * 3, dim=1)
        weights = ((query @ key.transpose(-2, -1)) * size**-0.5).softmax(dim=-1)
        return self.proj((weights @ value).transpose(1, 2).reshape(-1, tokens, self.channels))


class Block(nn.Module):
    """Attention, then an MLP, each behind a layer norm and added to its input; a training step
    leaves either out for a share `drop` of the faces (stochastic depth, arXiv 1603.09382).
    """

    recomputable = True

    def __init__(self, channels: int, heads: int, expansion: int, drop: float):
        super().__init__()
        self.drop = drop
        self.norm1 = nn.LayerNorm(channels)
        self.attn = Attention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, expansion)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._dropped(self.attn(self.norm1(x)))
        return x + self._dropped(self.mlp(self.norm2(x)))

    def _dropped(self, x: Tensor) -> Tensor:
        if not self.training or not self.drop:
            return x
        # drawn on the CPU, whose generator a checkpoint of a training run brings back
        kept = (torch.rand(len(x), 1, 1) >= self.drop).to(x)
        return x * kept / (1 - self.drop)


class VisionTransformer(nn.Module):
    """(B, 3, 112, 112) float in [-1, 1] -> (B, D) raw embeddings.

    In training mode a share of the tokens of each face, drawn anew each time, is left out of the
    blocks, and `mask_token` stands in its place before the head.

    Args:
        shape: patch, channels, depth, heads and expansion.
        embedding_size: D.
        width: factor on the channels, rounded to a multiple of the heads; published weights need 1.
        mask_ratio: the share, in [0, 1).
    """

    def __init__(
        self,
        shape: Shape,
        embedding_size: int = EMBEDDING_SIZE,
        width: float = 1.0,
        mask_ratio: float = MASK_RATIO,
    ):
        super().__init__()
        channels = max(2, round(shape.channels * width / shape.heads)) * shape.heads
        self.tokens = (SIDE // shape.patch) ** 2
        self.kept = int(self.tokens * (1 - mask_ratio))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.tokens, channels))
        self.patch_embed = nn.Sequential(
            OrderedDict(proj=nn.Conv2d(3, channels, shape.patch, shape.patch))
        )
        self.blocks = nn.Sequential(
            *(
                Block(
                    channels,
                    shape.heads,
                    shape.expansion,
                    DROP_PATH * number / max(1, shape.depth - 1),
                )
                for number in range(shape.depth)
            )
        )
        self.norm = nn.LayerNorm(channels)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, channels))
        self.feature = nn.Sequential(
            nn.Linear(channels * self.tokens, channels, bias=False),
            nn.BatchNorm1d(channels, EPS),
            nn.Linear(channels, embedding_size, bias=False),
            nn.BatchNorm1d(embedding_size, EPS),
        )
        nn.init.normal_(self.mask_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, faces: Tensor) -> Tensor:
        # numbers, not what `flatten` would ask the graph for: an export knows all shapes then
        planes = self.patch_embed(faces).reshape(-1, self.pos_embed.shape[2], self.tokens)
        x = planes.transpose(1, 2) + self.pos_embed
        if self.training and self.kept < self.tokens:
            x = self._encode_some(x)
        else:
            x = self.norm(self.blocks(x))
        return self.feature(x.flatten(1))

    def _encode_some(self, x: Tensor) -> Tensor:
        """Encode the tokens that are kept, (B, N, C) -> the same, with `mask_token` for the
        others.
        """
        # drawn on the CPU, whose generator a checkpoint of a training run brings back
        order = torch.rand(len(x), self.tokens).argsort(dim=1).to(x.device)
        kept = order[:, : self.kept, None].expand(-1, -1, x.shape[2])
        seen = self.norm(self.blocks(x.gather(1, kept)))
        whole = self.mask_token.to(seen.dtype).expand(len(x), self.tokens, -1)
        return whole.scatter(1, kept, seen)
