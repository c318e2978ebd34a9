"""Classification heads with a margin. The arithmetic is in float32 and clamped, whatever the
student runs in.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfr_kit.losses._batch import unit

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

    def __init__(
        self, classes: int, size: int, *, kind: str, scale: float = 64.0, margin: float = 0.5
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, size) * 0.01)
        self.kind, self.scale, self.margin = kind, scale, margin
        if (
            kind == "adaface"
            # running mean and deviation of the feature norms; h = 0.333 and momentum 0.01 as
            # published
        ):
            self.register_buffer("norm_mean", torch.tensor(20.0))
            self.register_buffer("norm_std", torch.tensor(100.0))

    def forward(self, student: Tensor, labels: Tensor) -> Tensor:
        """(B, D) raw embeddings and (B,) labels -> scalar cross-entropy."""
        with torch.autocast(student.device.type, enabled=False):
            dtype = torch.promote_types(student.dtype, torch.float32)
            student = student.to(dtype)
            cosine = (unit(student) @ unit(self.weight.to(dtype)).T).clamp(-LIMIT, LIMIT)
            rows = torch.arange(len(labels), device=labels.device)
            own = self._with_margin(cosine[rows, labels], student)
            logits = cosine.index_put((rows, labels), own)
            return F.cross_entropy(self.scale * logits, labels)

    def _with_margin(self, own: Tensor, student: Tensor) -> Tensor:
        if self.kind == "cosface":
            return own - self.margin
        angle, shift = torch.acos(own), 0.0
        if self.kind == "arcface":
            angular = torch.full_like(own, self.margin)
        else:
            quality = self._quality(student.detach().norm(dim=1))
            angular, shift = -self.margin * quality, self.margin * quality + self.margin
        return torch.cos((angle + angular).clamp(1e-3, math.pi - 1e-3)) - shift

    def _quality(self, norms: Tensor) -> Tensor:
        norms = norms.clamp(0.001, 100)
        if self.training:
            self.norm_mean.lerp_(norms.mean().to(self.norm_mean.dtype), 0.01)
            self.norm_std.lerp_(norms.std(correction=0).to(self.norm_std.dtype), 0.01)
        return (0.333 * (norms - self.norm_mean) / (self.norm_std + 1e-3)).clamp(-1, 1)


MARGINS = {"arcface": 0.5, "cosface": 0.4, "adaface": 0.4}


def build(
    kind: str, classes: int, size: int, scale: float = 64.0, margin: float | None = None
) -> MarginHead:
    """Make a head; `margin` None for the method's usual one."""
    return MarginHead(
        classes, size, kind=kind, scale=scale, margin=MARGINS[kind] if margin is None else margin
    )
