"""The plans of a batch as a few small arrays, made where they are drawn and read on the device."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from mfr_kit.masks.library import Library
from mfr_kit.masks.light import GRID
from mfr_kit.masks.plan import MaskPlan
from mfr_kit.masks.render import toned

LEAST_SIDE = 2 * GRID + 1
"""Pixels of the box's shorter side; OpenCV shrinks smaller ones by other rules."""
NUMBERS = ("scale", "relief", "crumple", "dirt", "shadow", "grain")
PLACES = (
    *("left", "top", "width", "height", "rim", "columns", "rows", "look", "level"),
    *("reach", "grain_row", "grain_column", "seed", "flat", "tinted", "noise"),
)
_PLAIN = (230, 230, 230)  # a colour that a look does not have


@dataclass(frozen=True)
class Packed:
    """Plans of a batch: of N of its B faces.

    Args:
        rows: (N,) int64, which of the faces.
        nodes: (N, 3, R, K) float32, x and y in texels and miss in mm; zeros beyond a mesh.
        numbers: (N, len(NUMBERS)) float32.
        places: (N, len(PLACES)) int64.
        colours: (N, 3, 3) float32, base, print and trim; negative for the skin's.
        tones: (N, 3, 4) float32, matrices for looks that bring their colours.
        noise: (M, height, width, 3) float32, each that of one plan.
        size: largest width and height of a box.
        widest: largest reach of a shadow.
    """

    rows: Tensor
    nodes: Tensor
    numbers: Tensor
    places: Tensor
    colours: Tensor
    tones: Tensor
    noise: Tensor
    size: tuple[int, int]
    widest: int

    def number(self, name: str) -> Tensor:
        """(N,) float32."""
        return self.numbers[:, NUMBERS.index(name)]

    def place(self, name: str) -> Tensor:
        """(N,) int64."""
        return self.places[:, PLACES.index(name)]

    def map(self, change) -> "Packed":
        """Apply a function to every tensor: moved to a device, or pinned."""
        names = [entry.name for entry in fields(self) if entry.name not in ("size", "widest")]
        return replace(self, **{name: change(getattr(self, name)) for name in names})


def can_pack(planned: MaskPlan) -> bool:
    """Whether `paint` can draw this plan; others are left to `masks.render.paint`."""
    left, top, right, bottom = planned.box
    return min(right - left, bottom - top) >= LEAST_SIDE


def pack(plans: Sequence[tuple[int, MaskPlan]], library: Library) -> Packed | None:
    """Pack plans that `can_pack`.

    Args:
        plans: each with the row of its face in the batch.
        library: whose looks are numbered as they stand in it.
    Returns:
        None without any plan.
    """
    if not plans:
        return None
    numbering = {name: number for number, name in enumerate(library.looks)}
    chosen = [planned for _, planned in plans]
    rows, columns = (max(single.places.shape[axis] for single in chosen) for axis in (1, 2))
    nodes = np.zeros((len(chosen), 3, rows, columns), np.float32)
    for target, single in zip(nodes, chosen, strict=True):
        target[:2, : single.places.shape[1], : single.places.shape[2]] = single.places
        target[2, : single.places.shape[1], : single.places.shape[2]] = single.mesh.miss
    noisy = [single.noise for single in chosen if single.noise is not None]
    size = tuple(max(single.box[at + 2] - single.box[at] for single in chosen) for at in (0, 1))
    noise = np.zeros((len(noisy), size[1], size[0], 3), np.float32)
    for target, values in zip(noise, noisy, strict=True):
        target[: values.shape[0], : values.shape[1]] = values
    order = iter(range(len(noisy)))
    places = [_places(single, numbering, order) for single in chosen]
    return Packed(
        torch.tensor([row for row, _ in plans]),
        torch.from_numpy(nodes),
        torch.tensor([_numbers(single) for single in chosen], dtype=torch.float32),
        torch.tensor(places),
        torch.tensor([_colours(single) for single in chosen], dtype=torch.float32),
        torch.tensor([toned(*single.mask.parameters["tone"]) for single in chosen]),
        torch.from_numpy(noise),
        (size[0], size[1]),
        max(single.reach for single in chosen),
    )


def _numbers(planned: MaskPlan) -> list[float]:
    """See NUMBERS."""
    values = planned.mask.parameters
    shadow = 0.0 if planned.mask.look.flat else values["shadow"]
    folds = (values[name] for name in ("relief", "crumple", "dirt"))
    return [planned.scale, *folds, shadow, planned.grain.strength]


def _places(planned: MaskPlan, numbering: dict[str, int], noise) -> list[int]:
    """See PLACES; `noise` is the row of its own, -1 without."""
    left, top, right, bottom = planned.box
    _, rows, columns = planned.places.shape
    look, grain = planned.mask.look, planned.grain
    box = [left, top, right - left, bottom - top, planned.mesh.rim, columns, rows]
    where = [numbering[look.name], planned.level, planned.reach, grain.row, grain.column]
    kind = [planned.mask.parameters["seed"], int(look.flat), int(look.mode == "colour")]
    return [*box, *where, *kind, -1 if planned.noise is None else next(noise)]


def _colours(planned: MaskPlan) -> list[list[float]]:
    return [planned.mask.parameters.get(part, _PLAIN) for part in ("base", "print", "trim")]
