"""The samplers of the OpenCV that is installed, for batches in torch, with its roundings.

Pictures are packed, one int32 a pixel with a channel in each byte, so that a look-up fetches all
channels at once. float32 counts only what it holds exactly, or what OpenCV counts in float32 too;
nothing is a matrix product, which TF32 would round.
"""

import functools

import cv2
import torch
from torch import Tensor

PARTS = 32  # of a pixel: as fine as OpenCV 4 places a sample
SNAPS = int(cv2.__version__.split(".")[0]) < 5
"""Whether samples are taken at whole PARTS; OpenCV 5 takes them where they lie."""


@functools.lru_cache(maxsize=64)
def constant(values: tuple, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(Nested) tuples as a tensor that is sent once: a copy from memory that is not pinned would
    wait for all that the device has to do. Never written to.
    """
    return torch.tensor(values, dtype=dtype, device=device)


def pack(pixels: Tensor) -> Tensor:
    """(..., C) uint8 with up to three channels -> (...) int32."""
    planes = pixels.to(torch.int32)
    packed = planes[..., 0]
    for channel in range(1, planes.shape[-1]):
        packed = packed | planes[..., channel] << 8 * channel
    return packed


def unpack(packed: Tensor, channels: int) -> Tensor:
    """(B, ...) int32 -> (B, channels, ...) float32 with whole values 0 to 255."""
    shape = 1, channels, *[1] * (packed.ndim - 1)
    shifts = torch.arange(0, 8 * channels, 8, dtype=torch.int32, device=packed.device).view(shape)
    return (packed[:, None] >> shifts & 255).float()


def repack(planes: Tensor) -> Tensor:
    """(B, C, ...) float32 with whole values 0 to 255 -> (B, ...) int32."""
    return pack(planes.to(torch.int32).movedim(1, -1))


def to_byte(values: Tensor) -> Tensor:
    """Round as `saturate_cast<uchar>` does, halves to even; stays float32."""
    return values.round_().clamp_(0, 255)


def places(
    size: Tensor, of: Tensor, count: int, shift: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Where `cv2.resize` with INTER_LINEAR looks along one axis.

    Args:
        size: (B,) pixels that `of` become.
        of: (B,) or (1,) pixels there are, int64.
        count: how many of the pixels are wanted.
        shift: (B,) the first of them, by default 0.
    Returns:
        (B, count) int64, the first of the two neighbours (at most `of` - 2 where there are two, the
        other follows), and (B, count) float32 weight of the second.
    """
    first_pixel = torch.zeros_like(size) if shift is None else shift
    pixel = torch.arange(count, device=size.device)[None] + first_pixel[:, None]
    scale = 1 / (size.double() / of.double())
    spot = ((pixel + 0.5) * scale[:, None] - 0.5).float()
    first = spot.floor()
    weight = spot - first
    first, last = first.long(), (of - 1)[:, None]
    weight = torch.where((first < 0) | (first >= last), 0.0, weight)
    first = torch.minimum(first.clamp_min(0), last)
    return first, weight


def both_places(
    sizes: tuple[Tensor, Tensor],
    of: tuple[Tensor, Tensor],
    counts: tuple[int, int],
    shift: Tensor | None = None,
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """`places` along columns and along rows; each argument is that of both."""
    number, shifts = len(sizes[0]), None if shift is None else shift.repeat(2)
    first, weight = places(torch.cat(sizes), torch.cat(of), max(counts), shifts)
    across = first[:number, : counts[0]], weight[:number, : counts[0]]
    return across, (first[number:, : counts[1]], weight[number:, : counts[1]])


def stretch(values: Tensor, across: tuple[Tensor, Tensor], down: tuple[Tensor, Tensor]) -> Tensor:
    """Resize float32 with INTER_LINEAR.

    Args:
        values: (B, C, R, K) float32.
        across: from `places`, along K.
        down: along R.
    Returns:
        (B, C, rows, columns) float32.
    """
    channels, rows, columns = values.shape[1:]
    first, weight = across
    at = first[:, None, None].expand(-1, channels, rows, -1)
    left = values.gather(3, at)
    right = values.gather(3, (at + 1).clamp_max_(columns - 1))
    wide = torch.lerp(left, right, weight[:, None, None])
    first, weight = down
    at = first[:, None, :, None].expand(-1, channels, -1, wide.shape[3])
    upper = wide.gather(2, at)
    lower = wide.gather(2, (at + 1).clamp_max_(rows - 1))
    return torch.lerp(upper, lower, weight[:, None, :, None])


def shrink(picture: Tensor, across: tuple[Tensor, Tensor], down: tuple[Tensor, Tensor]) -> Tensor:
    """Resize bytes with INTER_LINEAR, in OpenCV's fixed point.

    Args:
        picture: (B, C, H, W) float32 with whole values.
        across: from `places`, along W.
        down: along H.
    Returns:
        (B, C, rows, columns) float32 with whole values.
    """
    channels, height, width = picture.shape[1:]
    (left, right), (upper, lower) = (
        ((2048 * (1 - weight)).round(), (2048 * weight).round()) for _, weight in (across, down)
    )

    def row(at: Tensor) -> Tensor:
        lines = picture.gather(2, at[:, None, :, None].expand(-1, channels, -1, width))
        columns = across[0][:, None, None].expand(*lines.shape[:3], -1)
        first, second = (
            lines.gather(3, index) for index in (columns, (columns + 1).clamp(max=width - 1))
        )
        mixed = first * left[:, None, None] + second * right[:, None, None]
        # up to 32640 x 2048 with the weight, more than float32 counts
        return (mixed / 16).floor().double()

    above = row(down[0]) * upper[:, None, :, None]
    below = row((down[0] + 1).clamp(max=height - 1)) * lower[:, None, :, None]
    return (((above / 65536).floor() + (below / 65536).floor() + 2) / 4).floor().float()


def split(spot: Tensor) -> tuple[Tensor, Tensor]:
    """Split places in pixels into int64 pixels and float32 PARTS."""
    if SNAPS:
        return _split_parts((spot * PARTS).round().to(torch.int32))
    first = spot.floor()
    return first.long(), ((spot - first) * PARTS).float()


def _split_parts(spot: Tensor) -> tuple[Tensor, Tensor]:
    return (spot >> 5).long(), (spot & PARTS - 1).float()


def blend(taps: list[Tensor], x: Tensor, y: Tensor, channels: int) -> Tensor:
    """Weigh four packed neighbours (upper left, upper right, lower left, lower right).

    Args:
        taps: each (B, H, W) int32.
        x: (B, H, W) float32 in PARTS of a pixel.
        y: the same.
        channels: to give.
    Returns:
        (B, channels, H, W) float32 with whole values.
    """
    shares = (PARTS - x) * (PARTS - y), x * (PARTS - y), (PARTS - x) * y, x * y
    summed = unpack(taps[0], channels).mul_(shares[0][:, None])
    for tap, share in zip(taps[1:], shares[1:], strict=True):
        summed.addcmul_(unpack(tap, channels), share[:, None])
    return summed.div_(PARTS * PARTS).add_(0.5).floor_()


def reflect(at: Tensor, size: Tensor | int) -> Tensor:
    """BORDER_REFLECT_101; sizes are at least 2."""
    last = size - 1
    return last - (last - at.abs() % (2 * last)).abs()


def box_blur(values: Tensor, reach: Tensor, size: Tensor, widest: int) -> Tensor:
    """`cv2.blur` of bytes, of another width for each picture; beyond a picture is its reflection.

    Args:
        values: (B, H, W) float32 with whole values.
        reach: (B,) int64 odd widths.
        size: (B, 2) int64 columns and rows of `values` that are the picture.
        widest: of `reach`, known here without a look at the device.
    """
    batch, offsets = len(values), torch.arange(widest, device=values.device) - widest // 2
    inside = (offsets.abs() <= (reach // 2)[:, None]).float()[:, :, None, None]
    for side in (0, 1):  # the second turn has rows for columns
        lines, columns = values.shape[1:]
        spots = offsets[:, None] + torch.arange(columns, device=values.device)
        at = reflect(spots, size[:, side, None, None]).clamp_(max=columns - 1)
        at = at.view(batch, 1, -1).expand(-1, lines, -1)
        near = values.gather(2, at).view(batch, lines, widest, columns)
        values = (near.transpose(1, 2) * inside).sum(1).transpose(1, 2)
    return to_byte(values / (reach * reach).float()[:, None, None])


def warp(packed: Tensor, matrices: Tensor, channels: int = 3) -> Tensor:
    """`cv2.warpAffine` with INTER_LINEAR and BORDER_REFLECT_101.

    Args:
        packed: (B, H, W) int32.
        matrices: (B, 2, 3) float64, from places of the result to places of the picture.
        channels: in a pixel.
    Returns:
        (B, channels, H, W) float32 with whole values.
    """
    height, width = packed.shape[1:]
    (x, x_part), (y, y_part) = (_follow(row, height, width) for row in matrices.unbind(1))
    flat = packed.flatten(1)
    columns = [reflect(x, width), reflect(x + 1, width)]
    taps = []
    for row in (reflect(y, height) * width, reflect(y + 1, height) * width):
        taps += [flat.gather(1, (row + index).flatten(1)).view_as(packed) for index in columns]
    return blend(taps, x_part, y_part, channels)


def _follow(row: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where one row of (B, 3) matrices takes every place: as `split` gives it, (B, H, W) each."""
    across = torch.arange(width, device=row.device, dtype=torch.float64)
    down = torch.arange(height, device=row.device, dtype=torch.float64)
    start, step = row[:, 1:2] * down + row[:, 2:], row[:, :1] * across
    if not SNAPS:
        return split(start[:, :, None] + step[:, None])
    start, step = ((part * 1024).round().to(torch.int32) for part in (start, step))
    return _split_parts(start[:, :, None] + step[:, None] + 16 >> 5)
