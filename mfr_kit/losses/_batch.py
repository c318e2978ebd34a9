"""What every method is given, and the one operation every method needs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfr_kit.errors import KitError

if TYPE_CHECKING:
    from torch import Tensor

# weighted terms, whose sum is the loss; figures to log
Terms = tuple[dict[str, "Tensor"], dict[str, float]]


@dataclass(frozen=True)
class Batch:
    """One batch as a loss sees it. The teacher's side never carries a gradient; nothing need be
    normalised but the prototypes.
    """

    student: "Tensor"  # (B, D)
    teacher: "Tensor"  # (B, D) targets
    labels: "Tensor"  # (B,) int64, 0 .. C-1
    prototypes: "Tensor"  # (C, D) unit rows: the teacher's mean embedding of each training identity
    # (B, K, D) teacher-side embeddings of other identities; for methods with MINES = True
    partners: "Tensor | None" = None

    def __post_init__(self) -> None:
        if self.student.shape != self.teacher.shape:
            raise KitError(
                f"student embeddings {tuple(self.student.shape)} and teacher embeddings "
                f"{tuple(self.teacher.shape)} differ: use a projector"
            )


def unit(x: "Tensor") -> "Tensor":
    """L2-normalise along the last axis; a zero vector stays zero."""
    return x / x.norm(dim=-1, keepdim=True).clamp_min(1e-12)
