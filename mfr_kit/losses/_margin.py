"""Classification heads with a margin. The arithmetic is in float32 and clamped, whatever the
student runs in.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfr_kit.losses._batch import alone, unit
from mfr_kit.losses._checks import check_classes, check_embeddings

LIMIT = 1 - 1e-6  # cosines are clamped to it, so that acos keeps a finite gradient


class MarginHead(nn.Module):
    """Softmax over s * cosine to one learnt centre per identity, the own one pushed by a margin.

    Args:
        classes: identities C.
        size: embedding size D.
        scale: s > 0.
        margin: m, in radians for `kind` "arcface", in cosine for "cosface", both for "adaface".
        kind: "arcface" cos(theta + m), "cosface" cos(theta) - m, "adaface" a mixture of both by
            feature norm.
    Source: ArcFace (arXiv 1801.07698) eq. 3, CosFace (arXiv 1801.09414) eq. 4, AdaFace (arXiv
        2204.00964) eq. 12-14.
    """

    norm_mean: Tensor
    norm_std: Tensor

    def __init__(
        self, classes: int, size: int, *, kind: str, scale: float = 64.0, margin: float = 0.5
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, size) * 0.01)
        self.kind, self.scale, self.margin = kind, scale, margin
        # running mean and deviation of the feature norms; h = 0.333 and momentum 0.01 as published
        if kind == "adaface":
            self.register_buffer("norm_mean", torch.tensor(20.0))
            self.register_buffer("norm_std", torch.tensor(100.0))

    def forward(
        self,
        student: Tensor,
        labels: Tensor,
        mean_over_ranks: Callable[[Tensor], Tensor] = alone,
    ) -> Tensor:
        """(B, D) raw embeddings and (B,) labels -> scalar cross-entropy; `mean_over_ranks` is a
        batch's.
        """
        spread = spread_of(self, student, mean_over_ranks)
        return margin_softmax(
            student, labels, self.weight, self.kind, self.scale, self.margin, spread
        )


def margin_softmax(
    student: Tensor,
    labels: Tensor,
    centres: Tensor,
    kind: str,
    scale: float,
    margin: float | Tensor,
    spread: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Cross-entropy over s * cosine to the centres, the own one pushed by a margin.

    Args:
        student: (B, D) raw embeddings.
        labels: (B,) int64, 0 .. C-1.
        centres: (C, D), any norm.
        kind: see `MarginHead`.
        scale: s > 0.
        margin: m; a (B,) tensor for one of each sample.
        spread: for "adaface", mean and deviation of the feature norms; None for the batch's own.
    """
    with torch.autocast(student.device.type, enabled=False):
        dtype = torch.promote_types(student.dtype, torch.float32)
        student = student.to(dtype)
        cosine = (unit(student) @ unit(centres.to(dtype)).T).clamp(-LIMIT, LIMIT)
        rows = torch.arange(len(labels), device=labels.device)
        own = cosine[rows, labels]
        pushed = push(own, student, kind, margin, spread)
        logits = cosine.index_put((rows, labels), pushed)
        return F.cross_entropy(scale * logits, labels)


def push(
    own: Tensor,
    student: Tensor,
    kind: str,
    margin: float | Tensor,
    spread: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Push the (B,) clamped cosines of (B, D) embeddings to their own centres by a margin; see
    `margin_softmax`.
    """
    if kind == "cosface":
        return own - margin
    if kind == "arcface":
        return _turn(own, margin + torch.zeros_like(own))
    quality = _quality(student, spread or measure_norms(student))
    return _turn(own, -margin * quality) - (margin * quality + margin)


def spread_of(
    head: Any, student: Tensor, mean_over_ranks: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor] | None:
    """Return the running mean and deviation of the feature norms, where the margin of a head, whole
    or divided, goes by them; while it trains they move a step nearer to the batch's, in place.
    """
    if head.kind != "adaface":
        return None
    spread = head.norm_mean, head.norm_std
    if head.training:
        for running, value in zip(spread, measure_norms(student, mean_over_ranks), strict=True):
            running.lerp_(value.to(running.dtype), 0.01)
    return spread


def measure_norms(
    student: Tensor, mean_over_ranks: Callable[[Tensor], Tensor] = alone
) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of a batch's feature norms, which are clipped to 0.001 .. 100."""
    norms = _norms(student)
    mean = mean_over_ranks(norms.mean())
    return mean, mean_over_ranks((norms - mean).square().mean()).sqrt()


def _turn(cosine: Tensor, angle: Tensor) -> Tensor:
    """Add an angle in rad to that of a cosine."""
    return torch.cos((torch.acos(cosine) + angle).clamp(1e-3, math.pi - 1e-3))


def _quality(student: Tensor, spread: tuple[Tensor, Tensor]) -> Tensor:
    """Place each feature norm among the others, in [-1, 1]."""
    mean, std = spread
    return (0.333 * (_norms(student) - mean) / (std + 1e-3)).clamp(-1, 1)


def _norms(student: Tensor) -> Tensor:
    dtype = torch.promote_types(student.dtype, torch.float32)
    return student.detach().to(dtype).norm(dim=1).clamp(0.001, 100)


def classify(
    student: Tensor, labels: Tensor, centres: Tensor, kind: str, scale: float, margin: float
) -> Tensor:
    """Check what a stranger's loop gives, and return `margin_softmax`.

    Raises:
        KitError: the tensors do not belong together, a label without a centre, or s <= 0.
    """
    check_embeddings(student=student)
    check_classes(student, labels, centres, scale)
    return margin_softmax(student, labels, centres, kind, scale, margin)


MARGINS = {"arcface": 0.5, "cosface": 0.4, "adaface": 0.4}


def build(
    kind: str, classes: int, size: int, scale: float = 64.0, margin: float | None = None
) -> MarginHead:
    """Make a head; `margin` None for the method's usual one."""
    return MarginHead(
        classes, size, kind=kind, scale=scale, margin=MARGINS[kind] if margin is None else margin
    )
