"""Views that are drawn up where faces are decoded and whose pixels are made elsewhere: one sample's
plan, and a batch's as tensors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from mfr_kit.masks.batched import packed
from mfr_kit.masks.batched.packed import Packed
from mfr_kit.masks.library import Library
from mfr_kit.masks.plan import Plan
from mfr_kit.training.views.photometry import ORDER, Step


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
    mask: Plan | None = None
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

    def map(self, change: Callable[[Tensor], Tensor]) -> "ViewPlans":
        """Apply a function to every tensor: moved to a device, or pinned."""
        masks = None if self.masks is None else self.masks.map(change)
        steps = [(kind, change(rows), change(values)) for kind, rows, values in self.steps]
        return replace(self, masks=masks, matrices=change(self.matrices), steps=steps)


def pack(plans: Sequence[ViewPlan], library: Library | None) -> ViewPlans:
    """Put the plans of a batch together; `library` is what masks were drawn from, None without."""
    worn = [(row, plan.mask) for row, plan in enumerate(plans) if plan.mask is not None]
    masks = packed.pack(worn, library) if library is not None else None
    matrices = torch.from_numpy(np.stack([plan.matrix for plan in plans]))
    return ViewPlans(masks, matrices, _pack_steps([_merge(plan.steps) for plan in plans]))


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
            (row, one.values) for row, own in enumerate(steps) for one in own if one.kind == kind
        ]
        if chosen:
            rows, values = zip(*chosen, strict=True)
            found.append((kind, torch.tensor(rows), torch.from_numpy(np.stack(values))))
    return found
