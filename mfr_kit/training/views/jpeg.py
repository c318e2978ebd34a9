"""What a JPEG leaves of pictures, for batches in torch: libjpeg's arithmetic (accurate integer DCT,
chroma at half the size, smooth upsampling), which loses the same and codes nothing.

A pass of its DCT is a matrix of whole numbers, then a shift that rounds; float64 holds the sums.
"""

import functools

import numpy as np
import torch
from torch import Tensor

from mfr_kit.masks.batched import sampling

_BITS, _SPARE = 13, 2  # of the constants, and kept between the two passes
_C = {
    name: round(value * (1 << _BITS))
    for name, value in {
        "0.29": 0.298631336,
        "0.39": 0.390180644,
        "0.54": 0.541196100,
        "0.76": 0.765366865,
        "0.89": 0.899976223,
        "1.17": 1.175875602,
        "1.50": 1.501321110,
        "1.84": 1.847759065,
        "1.96": 1.961570560,
        "2.05": 2.053119869,
        "2.56": 2.562915447,
        "3.07": 3.072711026,
    }.items()
}
_LUMA = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99),
    *(99,) * 32,
)
# of 65536: from red, green and blue, and what is added before the shift
_TO_YCC = ((19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329))
_TO_YCC_ADD = (32768, (128 << 16) + 32767, (128 << 16) + 32767)
_RED_OF_CR, _GREEN_OF_CB, _GREEN_OF_CR, _BLUE_OF_CB = 91881, -22554, -46802, 116130


def compress(pictures: Tensor, qualities: Tensor) -> Tensor:
    """Compress and decompress as OpenCV does by default.

    Args:
        pictures: (N, 3, H, W) red, green, blue, whole values 0 to 255; sides are multiples of 16.
        qualities: (N, 1) 1 to 100.
    Returns:
        A new tensor like it.
    """
    planes = pictures.double()
    luma, *chroma = (
        _shift(_mix(planes, shares) + add, 16)
        for shares, add in zip(_TO_YCC, _TO_YCC_ADD, strict=True)
    )
    of_luma, of_chroma = _tables(qualities)
    luma = _lose(luma, of_luma)
    coarse = _lose(_halve(torch.cat(chroma)), of_chroma.repeat(2, 1, 1))
    blue, red = (_double(coarse) - 128).chunk(2)
    shades = (
        _shift(_RED_OF_CR * red + 32768, 16),
        _shift(_GREEN_OF_CB * blue + _GREEN_OF_CR * red + 32768, 16),
        _shift(_BLUE_OF_CB * blue + 32768, 16),
    )
    return torch.stack([luma + shade for shade in shades], dim=1).clamp_(0, 255).to(pictures.dtype)


def _shift(values: Tensor, bits: int) -> Tensor:
    return (values / (1 << bits)).floor()


def _mix(planes: Tensor, shares: tuple[int, ...]) -> Tensor:
    return planes[:, 0] * shares[0] + planes[:, 1] * shares[1] + planes[:, 2] * shares[2]


def _tables(qualities: Tensor) -> Tensor:
    """(2, N, 8, 8) what coefficients of luma and of chroma are divided by."""
    quality = qualities.double()
    scale = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    base = sampling.constant((_LUMA, _CHROMA), qualities.device, torch.float64)
    return ((base[:, None] * scale + 50) / 100).floor().clamp(1, 255).unflatten(2, (8, 8))


def _halve(plane: Tensor) -> Tensor:
    """(N, H, W) at half the size; what is rounded goes up and down by turns."""
    summed = plane[:, ::2, ::2] + plane[:, ::2, 1::2] + plane[:, 1::2, ::2] + plane[:, 1::2, 1::2]
    bias = 1 + torch.arange(summed.shape[2], device=plane.device) % 2
    return _shift(summed + bias, 2)


def _double(plane: Tensor) -> Tensor:
    """(N, H, W) at twice the size: three parts of the nearer pixel, one of the farther."""
    above, below = (
        torch.cat([plane[:, :1], plane[:, :-1]], 1),
        torch.cat([plane[:, 1:], plane[:, -1:]], 1),
    )
    lines = torch.stack([3 * plane + above, 3 * plane + below], 2).flatten(1, 2)
    before, after = (
        torch.cat([lines[:, :, :1], lines[:, :, :-1]], 2),
        torch.cat([lines[:, :, 1:], lines[:, :, -1:]], 2),
    )
    left, right = _shift(3 * lines + before + 8, 4), _shift(3 * lines + after + 7, 4)
    return torch.stack([left, right], 3).flatten(2)


def _lose(plane: Tensor, table: Tensor) -> Tensor:
    """(N, H, W) 0 to 255 through DCT, rounding to whole multiples of the table, and back."""
    count, height, width = plane.shape
    blocks = (plane - 128).view(count, height // 8, 8, width // 8, 8).transpose(2, 3)
    there, back = (
        sampling.constant(part, plane.device, torch.float64) for part in (_forward(), _inverse())
    )
    first, second = _BITS - _SPARE, _BITS + _SPARE
    rows = _round(blocks @ there.T, first)
    found = _round(there @ rows, second)
    steps = table[:, None, None]
    # the forward transform gives 8 times the coefficients
    kept = found.sign() * ((found.abs() + 4 * steps) / (8 * steps)).floor() * steps
    columns = _round(back @ kept, first)
    pixels = _round(columns @ back.T, second + 3) + 128
    return pixels.clamp_(0, 255).transpose(2, 3).reshape(count, height, width)


def _round(values: Tensor, bits: int) -> Tensor:
    return _shift(values + (1 << bits - 1), bits)


def _odd(a: list, b: list) -> list:
    """The odd part that both transforms share: sums of (a[0] .. a[3]) by constants `b`."""
    z1, z2, z3, z4 = a[0] + a[3], a[1] + a[2], a[0] + a[2], a[1] + a[3]
    z5 = (z3 + z4) * _C["1.17"]
    z1, z2 = -z1 * _C["0.89"], -z2 * _C["2.56"]
    z3, z4 = z5 - z3 * _C["1.96"], z5 - z4 * _C["0.39"]
    scaled = [value * _C[name] for value, name in zip(a, b, strict=True)]
    return [
        scaled[0] + z1 + z3,
        scaled[1] + z2 + z4,
        scaled[2] + z2 + z3,
        scaled[3] + z1 + z4,
    ]


def _rows(values: list) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row.tolist()) for row in values)


_ODD = ["0.29", "2.05", "3.07", "1.50"]


@functools.cache
def _forward() -> tuple[tuple[float, ...], ...]:
    """(8, 8): jfdctint.c's pass, before its shift."""
    d = list(np.eye(8))
    sums, differences = [d[i] + d[7 - i] for i in range(4)], [d[i] - d[7 - i] for i in range(4)]
    outer, inner = sums[0] + sums[3], sums[1] + sums[2]
    falling, middle = sums[0] - sums[3], sums[1] - sums[2]
    z1 = (middle + falling) * _C["0.54"]
    out7, out5, out3, out1 = _odd(differences[::-1], _ODD)
    out2, out6 = z1 + falling * _C["0.76"], z1 - middle * _C["1.84"]
    unit = 1 << _BITS
    even = [(outer + inner) * unit, out2, (outer - inner) * unit, out6]
    return _rows([even[0], out1, even[1], out3, even[2], out5, even[3], out7])


@functools.cache
def _inverse() -> tuple[tuple[float, ...], ...]:
    """(8, 8): jidctint.c's pass, before its shift."""
    d, unit = list(np.eye(8)), 1 << _BITS
    z1 = (d[2] + d[6]) * _C["0.54"]
    low, high = z1 - d[6] * _C["1.84"], z1 + d[2] * _C["0.76"]
    total, rest = (d[0] + d[4]) * unit, (d[0] - d[4]) * unit
    even = [total + high, rest + low, rest - low, total - high]
    odd = _odd([d[7], d[5], d[3], d[1]], _ODD)[::-1]
    first = [part + other for part, other in zip(even, odd, strict=True)]
    last = [part - other for part, other in zip(even, odd, strict=True)]
    return _rows([*first, *last[::-1]])
