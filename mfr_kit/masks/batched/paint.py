"""`masks.render.paint` for a batch, in torch: the pixels of masks that were planned elsewhere."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mfr_kit.masks import grade, light
from mfr_kit.masks.batched import sampling
from mfr_kit.masks.batched.packed import Packed
from mfr_kit.masks.library import Library
from mfr_kit.masks.render import LUMA

_BORDER = 128 << 16  # beyond a texture: no relief, transparent
_FAR = 30000.0  # texels; what a ray beside the head meets may lie anywhere
_BYTE_LUMA = (9798, 19235, 3735)  # of 32768, as OpenCV's RGB2GRAY


class Painter:
    """A library's textures on a device, and what draws them; everything is made once.

    Args:
        library: the one the plans were drawn from.
        device: where to draw.
    """

    def __init__(self, library: Library, device: torch.device):
        texels, table, start = [], [], 0
        looks = list(library.looks.values())
        known: dict[int, int] = {}
        levels = max(len(look.levels) for look in looks)
        for look in looks:
            rows = []
            for level in look.levels:
                if id(level) not in known:
                    known[id(level)] = start
                    texels.append(np.ascontiguousarray(level).view(np.int32).reshape(-1))
                    start += len(texels[-1])
                rows.append([known[id(level)], level.shape[1], level.shape[0]])
            table.append(rows + [rows[-1]] * (levels - len(rows)))
        self._texels = torch.from_numpy(np.concatenate(texels)).to(device)
        self._table = torch.tensor(table, device=device)
        self._grain = torch.from_numpy(grade.GRAIN[..., 0].copy()).to(device)
        self._blobs = torch.from_numpy(light.BLOBS).to(device)
        self._near = torch.from_numpy(light.NEAR).to(device)
        self._stain = torch.from_numpy(light.STAIN).to(device)

    @torch.no_grad()
    def paint(self, faces: Tensor, plans: Packed) -> Tensor:
        """Draw masks.

        Args:
            faces: (B, H, W) int32 packed RGB, not written to.
            plans: on the same device.
        Returns:
            (B, H, W) int32, a new tensor.
        """
        (width, height), side = plans.size, faces.shape[2]
        left, top = (plans.place(name)[:, None] for name in ("left", "top"))
        columns, rows = (torch.arange(n, device=faces.device)[None] for n in (width, height))
        inside = (rows < plans.place("height")[:, None])[:, :, None] & (
            columns < plans.place("width")[:, None]
        )[:, None]
        # pixels beyond a box are read somewhere and written to one place behind the picture
        end = faces[0].numel()
        at = ((top + rows) * side)[:, :, None] + (left + columns)[:, None]
        at = torch.where(inside, at, end).flatten(1)
        padded = torch.cat([faces[plans.rows].flatten(1), faces.new_zeros(len(at), 1)], dim=1)
        region = sampling.unpack(padded.gather(1, at).view_as(inside), 3)
        layers, alpha = self._sample(plans)
        painted = self._compose(region, layers, torch.where(inside, alpha, 0.0), plans)
        padded.scatter_(1, at, sampling.repack(painted).flatten(1))
        return faces.index_copy(0, plans.rows, padded[:, :end].view(-1, *faces.shape[1:]))

    def _sample(self, plans: Packed) -> tuple[Tensor, Tensor]:
        """Read the textures through the meshes: (N, 3, h, w) and opacity (N, h, w)."""
        rim = plans.place("rim")
        spread = plans.place("width") + 2 * rim, plans.place("height") + 2 * rim
        nodes = plans.place("columns"), plans.place("rows")
        axes = sampling.both_places(spread, nodes, plans.size, rim)
        x, y, miss = sampling.stretch(plans.nodes, *axes).unbind(1)
        start, columns, rows = (
            value[:, None, None]
            for value in self._table[plans.place("look"), plans.place("level")].unbind(1)
        )
        (x, x_part), (y, y_part) = (sampling.split(spot.clamp(-_FAR, _FAR)) for spot in (x, y))
        near, taps = [(x, _within(x, columns)), (x + 1, _within(x + 1, columns))], []
        for row in (y, y + 1):
            line, has_row = start + row * columns, _within(row, rows)
            for column, has_column in near:
                inside = has_row & has_column
                found = self._texels[(line + column).where(inside, 0)]
                taps.append(found.where(inside, _BORDER))
        sampled = sampling.blend(taps, x_part, y_part, 4)
        edge = miss * (-255 * plans.number("scale"))[:, None, None] + 127.5
        return sampled[:, :3], torch.minimum(sampled[:, 3], sampling.to_byte(edge))

    def _compose(self, region: Tensor, layers: Tensor, alpha: Tensor, plans: Packed) -> Tensor:
        """Colour and light the masks and lay them over the regions, (N, 3, h, w)."""
        gain, matrix = self._measure(region, alpha, plans)
        colour = _transform(layers, matrix)
        colour = sampling.to_byte(colour * self._shine(gain, plans) / 128)
        colour = self._add_grain(colour, plans)
        size = torch.stack([plans.place("width"), plans.place("height")], dim=1)
        shadow = sampling.box_blur(alpha, plans.place("reach"), size, plans.widest)
        shadow = sampling.to_byte(255 - shadow * plans.number("shadow")[:, None, None])
        clear = sampling.to_byte((255 - alpha) * shadow / 255)[:, None]
        if len(plans.noise):
            noise = plans.noise[plans.place("noise").clamp_min(0)].movedim(3, 1)
            has = (plans.place("noise") >= 0).view(-1, 1, 1, 1)
            colour = sampling.to_byte(torch.where(has, colour + noise, colour))
        covered = sampling.to_byte(colour * alpha[:, None] / 255)
        return covered.add_(sampling.to_byte(region * clear / 255)).clamp_(0, 255)

    def _add_grain(self, colour: Tensor, plans: Packed) -> Tensor:
        (width, height), device = plans.size, colour.device
        rows = plans.place("grain_row")[:, None] + torch.arange(height, device=device)
        columns = plans.place("grain_column")[:, None] + torch.arange(width, device=device)
        tile = self._grain[rows[:, :, None], columns[:, None]].float()
        share = (plans.number("grain") / grade.GRAIN_STRENGTH)[:, None, None]
        return sampling.to_byte(colour + (tile * share - 128 * share)[:, None])

    def _measure(self, region: Tensor, alpha: Tensor, plans: Packed) -> tuple[Tensor, Tensor]:
        """`light.measure`, `light.add_stains` and `render._colours`: gain, (N, 3, GRID, GRID), and
        (N, 3, 4) matrices of colours.
        """
        grid, box = self._grid(plans), (plans.place("width"), plans.place("height"))
        axes = sampling.both_places(grid, box, (light.GRID, light.GRID))
        both = torch.cat([region, alpha[:, None]], dim=1)
        small = sampling.shrink(both, *axes).flatten(2)
        pixels, weight = small[:, :3], small[:, 3] + float(light.LEAST)
        luma = ((_weigh(pixels.movedim(1, 2), _BYTE_LUMA) + 16384) / 32768).floor()
        skin = (weight[:, None] * pixels).sum(2) / weight.sum(1, keepdim=True)
        level = _weigh(skin, LUMA.tolist()).clamp_min(8.0)
        exposure = (0.55 * level / 140 + 0.45 * luma.amax(1) / 215).clamp(0.3, 1.0)
        amount, local = (
            (factor[:, :, None] * self._near).sum(1) for factor in (weight, weight * luma)
        )
        local = local / amount * (light.FOLLOW * exposure / level)[:, None]
        gain = (local + ((1 - light.FOLLOW) * exposure)[:, None]).clamp_max(float(light.MOST))
        is_grey = (skin[:, :2] - skin[:, 1:]).abs().sum(1) < light.GREY
        is_grey &= (pixels[:, 0] - pixels[:, 2]).abs().sum(1) < light.GREY * light.GRID**2
        usual = sampling.constant(light.SKIN, skin.device, skin.dtype)
        tint = (skin / (level[:, None] * usual)).clamp(0.6, 1.5) ** 0.3
        strongest = tint.amax(1, keepdim=True)
        gain = torch.where(is_grey[:, None], gain, gain * strongest)
        flat = plans.place("flat").bool()
        matrix = _colours(plans, skin)
        grey = _weigh(matrix.movedim(1, 2), LUMA.tolist())[:, None].expand(-1, 3, -1)
        tinted = matrix * torch.where(flat[:, None], 1.0, tint / strongest)[..., None]
        matrix = torch.where(is_grey[:, None, None], grey, tinted)
        gain = self._add_stains(gain.view(-1, light.GRID, light.GRID), plans)
        return torch.where(flat.view(-1, 1, 1, 1), 1.0, gain), matrix

    def _add_stains(self, gain: Tensor, plans: Packed) -> Tensor:
        seed, span = plans.place("seed"), torch.arange(light.GRID, device=gain.device)
        row, column = (
            value[:, None] + span for value in (seed % light.SPOTS, (seed >> 8) % light.SPOTS)
        )
        crumple, dirt = (plans.number(n)[:, None, None] for n in ("crumple", "dirt"))
        uneven = (self._blobs[row[:, :, None], column[:, None]] * crumple + 1) * gain
        stain = (self._blobs[column[:, :, None], row[:, None]] - 0.4).clamp_min(0) * dirt
        return uneven[:, None] * (1 - stain[:, None] * self._stain.view(1, 3, 1, 1))

    def _grid(self, plans: Packed) -> tuple[Tensor, Tensor]:
        side = torch.full_like(plans.place("width"), light.GRID)
        return side, side

    def _shine(self, gain: Tensor, plans: Packed) -> Tensor:
        """The light as whole numbers, 128 for 1, at every pixel."""
        box = plans.place("width"), plans.place("height")
        axes = sampling.both_places(box, self._grid(plans), plans.size)
        return sampling.to_byte(sampling.stretch(gain, *axes) * 128)


def _within(spot: Tensor, size: Tensor) -> Tensor:
    return (spot >= 0) & (spot < size)


def _weigh(values: Tensor, shares: Sequence[float]) -> Tensor:
    """(N, ..., 3) -> (N, ...): the weighted sum, never rounded to TF32."""
    first, second, third = (float(share) for share in shares)
    return values[..., 0] * first + values[..., 1] * second + values[..., 2] * third


def _transform(layers: Tensor, matrix: Tensor) -> Tensor:
    """`cv2.transform` of (N, 3, h, w) bytes by (N, 3, 4) matrices: in 1024ths."""
    shares = (matrix[..., :3] * 1024).round()[..., None, None]
    summed = ((matrix[..., 3] + 0.5) * 1024).round()[..., None, None].expand(*layers.shape).clone()
    for channel in range(3):
        summed.addcmul_(shares[:, :, channel], layers[:, channel : channel + 1])
    return summed.div_(1024).floor_().clamp_(0, 255)


def _colours(plans: Packed, skin: Tensor) -> Tensor:
    """(N, 3, 4) matrices that turn a texture's channels into RGB, before any tint."""
    colours = torch.where(plans.colours[..., :1] < 0, skin[:, None], plans.colours)
    base, dyed, trim = colours.unbind(1)
    depth = plans.number("relief")[:, None] * (0.25 + 0.75 * base.sum(1, keepdim=True) / 765)
    depth = depth.expand_as(base)
    rows = [(dyed - base) / 255, (trim - base) / 255, depth, base - 127.5 * depth]
    tinted = plans.place("tinted").bool().view(-1, 1, 1)
    return torch.where(tinted, plans.tones, torch.stack(rows, dim=2))
