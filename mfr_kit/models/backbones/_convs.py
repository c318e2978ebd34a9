"""What MobileFaceNets are made of: a convolution, its batch norm, and mostly a PReLU."""

from torch import nn


def conv_layers(
    before: int,
    after: int,
    kernel: int,
    stride: int = 1,
    *,
    groups: int = 1,
    act: bool = True,
    padding: int | None = None,
) -> list[nn.Module]:
    """Make a convolution without bias, a batch norm and, where `act`, a PReLU.

    Args:
        before: channels that come in.
        after: channels that go out.
        kernel: rows and columns.
        stride: of the convolution.
        groups: of channels that see each other.
        act: whether a PReLU follows.
        padding: zeros around; left out: so many that the stride alone decides the size.
    """
    around = kernel // 2 if padding is None else padding
    conv = nn.Conv2d(before, after, kernel, stride, around, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(after), *([nn.PReLU(after)] if act else [])]
