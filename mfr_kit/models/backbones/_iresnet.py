"""IResNet as InsightFace's arcface_torch names it, so that its published state dicts load as they
are.

Source: Duta et al., *Improved Residual Networks for Image and Video Recognition* (arXiv
    2004.04989), in ArcFace's variant.
"""

import torch
from torch import Tensor, nn

from mfr_kit.errors import KitError

EMBEDDING_SIZE = 512
CHANNELS = (64, 128, 256, 512)  # of the four stages, each of which halves the map


def widened(width: float) -> list[int]:
    """Channels of the four stages times `width`, in eights.

    Never 8: oneDNN 3.12 (torch 2.13 on AVX-512) writes past its memory in the backward pass of the
    1x1 stride-2 convolution of 8 channels-last channels.
    """
    return [max(16, round(channels * width / 8) * 8) for channels in CHANNELS]


def refuse_wide(width: float, network: str) -> None:
    """Refuse a width above 4, which is surely a slip.

    Raises:
        KitError: see above.
    """
    if width > 4:
        raise KitError(
            f"--width is a factor on the channels; {width} would make an {network} of "
            f"{round(CHANNELS[-1] * width)} channels"
        )


class Block(nn.Module):
    """BN, 3x3, BN, PReLU, 3x3 with the stride, BN; added to the input (through 1x1 and BN where
    the shape changes).
    """

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before, eps=1e-5)
        self.conv1 = nn.Conv2d(before, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after, eps=1e-5)
        self.prelu = nn.PReLU(after)
        self.conv2 = nn.Conv2d(after, after, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after, eps=1e-5)
        self.downsample = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after, eps=1e-5)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(y)) + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    """(B, 3, 112, 112) float in [-1, 1] -> (B, D) raw embeddings.

    Args:
        blocks: how many in each of the four stages.
        embedding_size: D.
        width: factor on the channels; arcface_torch's weights need 1.
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(
        self,
        blocks: tuple[int, int, int, int],
        embedding_size: int = EMBEDDING_SIZE,
        width: float = 1.0,
    ):
        super().__init__()
        wide = widened(width)
        self.conv1 = nn.Conv2d(3, wide[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide[0], eps=1e-5)
        self.prelu = nn.PReLU(wide[0])
        before = wide[0]
        for number, (channels, repeats) in enumerate(zip(wide, blocks, strict=True)):
            stage = [
                Block(before if i == 0 else channels, channels, 2 if i == 0 else 1)
                for i in range(repeats)
            ]
            self.add_module(f"layer{number + 1}", nn.Sequential(*stage))
            before = channels
        self.bn2 = nn.BatchNorm2d(before, eps=1e-5)
        self.fc = nn.Linear(before * 49, embedding_size)
        self.features = nn.BatchNorm1d(embedding_size, eps=1e-5)
        nn.init.constant_(self.features.weight, 1.0)
        # as published: the scale of the embedding carries nothing
        self.features.weight.requires_grad = False
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0, 0.1)

    def forward(self, faces: Tensor) -> Tensor:
        x = self.prelu(self.bn1(self.conv1(faces)))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return self.features(self.fc(torch.flatten(self.bn2(x), 1)))


def build(blocks: tuple[int, int, int, int], embedding_size: int, width: float) -> nn.Module:
    """Make an IResNet with random weights.

    Raises:
        KitError: a width above 4, which is surely a slip.
    """
    refuse_wide(width, "IResNet")
    return IResNet(blocks, embedding_size, width)
