"""Views that are drawn up where faces are decoded and whose pixels are made elsewhere: one sample's
plan, and a batch's as tensors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfr_kit.masks.batched import packed
from mfr_kit.masks.batched.packed import Packed
from mfr_kit.masks.library import Library
from mfr_kit.masks.plan import MaskPlan
from mfr_kit.training.views.photometry import ORDER, Step

_ALIGNED = 16  # bytes at whose multiples a tensor begins


@dataclass(frozen=True)
class ViewPlan:
    """One view.

    Args:
        face: (112, 112, 3) uint8 RGB, the clean face; the view itself where nothing is left to do.
        mirrored: whether the view is.
        masked: whether it wears a mask.
        mask: to put on first; None without, and where the face wears it already.
        matrix: (2, 3) float64 from the view's places to the face's: mirror and drift.
        steps: to take last, in their order.
    """

    face: np.ndarray
    mirrored: bool
    masked: bool
    mask: MaskPlan | None = None
    matrix: np.ndarray = field(default_factory=lambda: np.eye(2, 3))
    steps: Sequence[Step] = ()


@dataclass(frozen=True)
class ViewPlans:
    """What is to be done to the B faces of a batch.

    Args:
        masks: which of them wear what.
        matrices: (B, 2, 3) float64.
        steps: in the order in which they are taken, each its kind, the rows it changes (N,) int64,
            and (N, ...) values.
    """

    masks: Packed | None
    matrices: Tensor
    steps: list[tuple[str, Tensor, Tensor]]

    def map(self, change: Callable[[Any], Any]) -> "ViewPlans":
        """Apply a function to everything that stands for a tensor."""
        masks = None if self.masks is None else self.masks.map(change)
        steps = [(kind, change(rows), change(values)) for kind, rows, values in self.steps]
        return replace(self, masks=masks, matrices=change(self.matrices), steps=steps)


@dataclass(frozen=True)
class PlanBundle:
    """The plans of a batch in one piece, which goes between processes and to a device at once: a
    loader holds a file open for each tensor of each batch.

    Args:
        data: (n,) uint8, all tensors.
        outline: with the place of each in `data`, its type and its shape where the tensors were.
    """

    data: Tensor
    outline: ViewPlans

    def pin_memory(self) -> "PlanBundle":
        """Let a copy to a device overlap."""
        return PlanBundle(self.data.pin_memory(), self.outline)

    def open(self, device: torch.device) -> ViewPlans:
        """Give the tensors back, on a device."""
        data = self.data.to(device, non_blocking=True)

        def take(place: tuple[slice, torch.dtype, torch.Size]) -> Tensor:
            where, dtype, shape = place
            return data[where].view(dtype).view(shape)

        return self.outline.map(take)


def bundle(plans: ViewPlans) -> PlanBundle:
    """Copy all tensors into one."""
    parts: list[Tensor] = []
    end = 0

    def put(tensor: Tensor) -> tuple[slice, torch.dtype, torch.Size]:
        nonlocal end
        flat = tensor.contiguous().view(-1).view(torch.uint8)
        rest = -len(flat) % _ALIGNED
        parts.extend([flat, flat.new_zeros(rest)])
        start, end = end, end + len(flat) + rest
        return slice(start, start + len(flat)), tensor.dtype, tensor.shape

    outline = plans.map(put)
    return PlanBundle(torch.cat(parts), outline)


def pack(plans: Sequence[ViewPlan], library: Library | None) -> PlanBundle:
    """Put the plans of a batch together; `library` is what masks were drawn from, None without."""
    with_mask = [(row, plan.mask) for row, plan in enumerate(plans) if plan.mask is not None]
    masks = packed.pack(with_mask, library) if library is not None else None
    matrices = torch.from_numpy(np.stack([plan.matrix for plan in plans]))
    steps = _pack_steps([_merge(plan.steps) for plan in plans])
    return bundle(ViewPlans(masks, matrices, steps))


def _merge(steps: Sequence[Step]) -> list[Step]:
    """Make one table of several that follow each other, so that a kind comes once."""
    merged: list[Step] = []
    for step in steps:
        if step.kind == "lut" and merged and merged[-1].kind == "lut":
            merged[-1] = Step("lut", step.values[merged[-1].values])
        else:
            merged.append(step)
    return merged


def _pack_steps(steps: Sequence[Sequence[Step]]) -> list[tuple[str, Tensor, Tensor]]:
    found = []
    for kind in ORDER:
        chosen = [
            (row, taken.values)
            for row, own in enumerate(steps)
            for taken in own
            if taken.kind == kind
        ]
        if chosen:
            rows, values = zip(*chosen, strict=True)
            found.append((kind, torch.tensor(rows), torch.from_numpy(np.stack(values))))
    return found
