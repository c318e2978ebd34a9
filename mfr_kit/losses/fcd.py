"""Feature consistency distillation: the student's embedding of a (masked) face is drawn to the teacher's of the clean one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfr_kit.losses._batch import Batch, Terms, unit

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Options:
    """FCD has nothing to set."""


def terms(batch: Batch, options: Options, head: None) -> Terms:
    """FCD alone: the baseline that every other method must beat."""
    return {"fcd": feature_consistency_loss(batch.student, batch.teacher)}, {}


def feature_consistency_loss(student: "Tensor", teacher: "Tensor") -> "Tensor":
    """Squared distance of the normalised embeddings.

    Args:
        student: (B, D) embeddings, any norm.
        teacher: (B, D) embeddings, any norm; receives no gradient.
    Returns:
        Scalar in [0, 4], the mean over the batch of 2 (1 - cos).
    Source: CoupleFace (arXiv 2204.05502), FCD; docs/method.md, equation 1.
    """
    return (unit(student) - unit(teacher.detach())).square().sum(dim=1).mean()
