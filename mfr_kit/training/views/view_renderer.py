"""The pixels of a batch of views in torch, on any device: masks, mirror and drift, photometry."""

import functools
from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from mfr_kit.errors import KitError
from mfr_kit.masks.batched import sampling
from mfr_kit.masks.batched.paint import Painter
from mfr_kit.masks.library import Library
from mfr_kit.training.views import jpeg
from mfr_kit.training.views.view_plan import PlanBundle

_LUMA = (9798, 19235, 3735)  # of 32768, as OpenCV's RGB2GRAY


def renders_there(choice: str, device: torch.device) -> bool:
    """Whether `--render-on` means that views are made on this device.

    Raises:
        KitError: a device that cannot.
    """
    if choice == "device" and device.type == "mps":
        raise KitError(
            "--render-on device: an mps device has no float64, which the renderer needs; give "
            "--render-on cpu"
        )
    return choice == "device" or (choice == "auto" and device.type == "cuda")


class ViewRenderer:
    """Draws planned views.

    Args:
        library: what their masks were drawn from; None where no view wears one.
        device: where to draw.
    """

    def __init__(self, library: Library | None, device: torch.device):
        self._painter = None if library is None else Painter(library, device)
        self._device = device

    @torch.no_grad()
    def render(self, faces: Tensor, bundle: PlanBundle) -> Tensor:
        """Make the views of a batch.

        Args:
            faces: (B, 112, 112, 3) uint8 RGB, anywhere.
            bundle: what to do to them, anywhere.
        Returns:
            (B, 112, 112, 3) uint8 RGB on the device.
        """
        packed = sampling.pack(faces.to(self._device, non_blocking=True))
        plans = bundle.open(self._device)
        if plans.masks is not None:
            assert self._painter is not None  # its library gave the masks
            packed = self._painter.paint(packed, plans.masks)
        views = sampling.warp(packed, plans.matrices)
        for kind, rows, values in plans.steps:
            views.index_copy_(0, rows, STEPS[kind](views[rows], values))
        return views.to(torch.uint8).permute(0, 2, 3, 1)


def look_up(views: Tensor, tables: Tensor) -> Tensor:
    """(N, C, H, W) whole values 0 to 255 through (N, 256) tables of bytes."""
    found = tables.float().gather(1, views.flatten(1).long())
    return found.view_as(views)


def make_grey(views: Tensor, _: Tensor | None = None) -> Tensor:
    """OpenCV's RGB2GRAY and back."""
    red, green, blue = _LUMA
    luma = views[:, :1] * red + views[:, 1:2] * green + views[:, 2:] * blue
    return ((luma + 16384) / 32768).floor().expand_as(views)


def blur(views: Tensor, kernels: Tensor) -> Tensor:
    """`cv2.filter2D`, (N, K, K) float32 kernels."""
    taps, (height, width) = kernels.shape[1], views.shape[2:]
    around = nn.functional.pad(views, [taps // 2] * 4, mode="reflect")
    summed = torch.zeros_like(views)
    for row in range(taps):
        for column in range(taps):
            weight = kernels[:, row, column].view(-1, 1, 1, 1)
            part = around[:, :, row : row + height, column : column + width]
            summed.addcmul_(part, weight)
    return sampling.to_byte(summed)


def resample(views: Tensor, shown: Tensor) -> Tensor:
    """Show (N, 2, side) rows and columns of each view."""
    rows, columns = shown.long().unbind(1)
    lines = views.gather(2, rows[:, None, :, None].expand_as(views))
    return lines.gather(3, columns[:, None, None].expand_as(views))


def add_noise(views: Tensor, noise: Tensor) -> Tensor:
    """Add (N, H, W, C) int8."""
    return (views + noise.movedim(3, 1)).clamp_(0, 255)


def compress(views: Tensor, qualities: Tensor) -> Tensor:
    """JPEG of (N, 1) qualities, as albumentations does it: red is taken for blue."""
    return jpeg.compress(views.flip(1), qualities).flip(1)


def change_hues(views: Tensor, tables: Tensor) -> Tensor:
    """OpenCV's RGB2HSV, (N, 2, 256) tables for hue and saturation, and HSV2RGB."""
    top, low = views.amax(1), views.amin(1)
    red, green, blue = views.unbind(1)
    span = top - low
    turn = torch.where(top == green, blue - red + 2 * span, red - green + 4 * span)
    turn = torch.where(top == red, green - blue, turn)
    # tables of 4096ths; double, since their products are more than float32 counts
    of_hue = (4096 * 180 / (6 * span.double())).round()
    of_top = (4096 * 255 / top.double()).round()
    hue = torch.where(span > 0, (turn * of_hue + 2048).div_(4096).floor_(), 0.0)
    hue = torch.where(hue < 0, hue + 180, hue)
    saturation = torch.where(top > 0, (span * of_top + 2048).div_(4096).floor_(), 0.0)
    hue, saturation = (
        look_up(values[:, None].float(), tables[:, row])[:, 0]
        for row, values in enumerate((hue, saturation))
    )
    return _to_rgb(hue * (6 / 180), saturation * (1 / 255), top)


def _to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """(N, H, W) hue in sixths of a turn, saturation 0 to 1, value 0 to 255 -> (N, 3, H, W)."""
    sector = hue.floor()
    part, sector = hue - sector, sector.long() % 6
    # OpenCV fuses these products with their subtraction, which rounds once
    exact = saturation.double()
    falling, rising = ((1 - exact * fraction).float() for fraction in (part, 1 - part))
    shares = [torch.ones_like(value), 1 - saturation, falling, rising]
    choices = [value * (1 / 255) * share * 255 for share in shares]
    order = sampling.constant(_SECTORS, value.device, torch.int64)[sector].movedim(-1, 1)
    found = torch.stack(choices, dim=1).gather(1, order)
    cuts = sampling.constant(_cuts(value.shape[2]), value.device, torch.bool)
    return torch.where(cuts, found.floor(), found.round())


@functools.cache
def _cuts(width: int) -> tuple[bool, ...]:
    """In which columns OpenCV's HSV2RGB cuts fractions off: where it computes in vectors, whose
    width is the processor's; in what is left of a row it rounds.
    """
    probe = np.full((1, width, 3), (119, 255, 81), np.uint8)  # green is 2.7
    return tuple((cv2.cvtColor(probe, cv2.COLOR_HSV2RGB)[0, :, 1] == 2).tolist())


# of each sixth of a turn: which of value, least, falling, rising are red, green, blue
_SECTORS = ((0, 3, 1), (2, 0, 1), (1, 0, 3), (1, 2, 0), (3, 1, 0), (0, 1, 2))
STEPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "lut": look_up,
    "hsv": change_hues,
    "grey": make_grey,
    "filter": blur,
    "resample": resample,
    "noise": add_noise,
    "jpeg": compress,
}
