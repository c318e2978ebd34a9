"""IR networks as AdaFace and CVLface name them, so that their published state dicts load as they
are: IResNet with a parameter-free shortcut wherever the channels stay, and no weights in the last
batch norm.

Source: Deng et al., *ArcFace* (arXiv 1801.07698), section 3.2.1; Kim et al., *AdaFace* (arXiv
    2204.00964), and CVLface's models/iresnet/model.py for the names.
"""

from torch import Tensor, nn

from mfr_kit.models.backbones._iresnet import refuse_wide, widened

EMBEDDING_SIZE = 512


class Block(nn.Module):
    """BN, 3x3, BN, PReLU, 3x3 with the stride, BN; added to the input, every second position of it
    where the stride is 2.
    """

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        if before != after:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.Conv2d(before, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.PReLU(after),
            nn.Conv2d(after, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


class Ir(nn.Module):
    """(B, 3, 112, 112) float in [-1, 1] -> (B, D) raw embeddings.

    AdaFace's weights take BGR (models/publishers.py).

    Args:
        blocks: how many in each of the four stages.
        embedding_size: D.
        width: factor on the channels; published weights need 1.
    """

    def __init__(
        self,
        blocks: tuple[int, int, int, int],
        embedding_size: int = EMBEDDING_SIZE,
        width: float = 1.0,
    ):
        super().__init__()
        wide = widened(width)
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, wide[0], 3, 1, 1, bias=False), nn.BatchNorm2d(wide[0]), nn.PReLU(wide[0])
        )
        layers, before = [], wide[0]
        for channels, repeats in zip(wide, blocks, strict=True):
            for number in range(repeats):
                layers.append(Block(before, channels, 1 if number else 2))
                before = channels
        self.body = nn.Sequential(*layers)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.Identity(),  # where the published networks drop out: names go by position
            nn.Flatten(),
            nn.Linear(before * 49, embedding_size),
            nn.BatchNorm1d(embedding_size, affine=False),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, faces: Tensor) -> Tensor:
        return self.output_layer(self.body(self.input_layer(faces)))


def build(blocks: tuple[int, int, int, int], embedding_size: int, width: float) -> nn.Module:
    """Make an IR network with random weights.

    Raises:
        KitError: a width above 4, which is surely a slip.
    """
    refuse_wide(width, "IR network")
    return Ir(blocks, embedding_size, width)
