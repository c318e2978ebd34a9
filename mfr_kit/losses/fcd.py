"""Feature consistency distillation: the student's embedding of a (masked) face is drawn to the
teacher's of the clean one.
"""

from typing import TYPE_CHECKING

from mfr_kit.losses._batch import Batch, Terms, unit
from mfr_kit.losses._checks import check_embeddings
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor


@options_class
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
    Raises:
        KitError: the two are not (B, D) tensors of one shape, type and device.
    Example:
        >>> import torch
        >>> teacher = torch.eye(3)
        >>> feature_consistency_loss(2 * teacher, teacher)
        tensor(0.)

    Source: CoupleFace (arXiv 2204.05502), FCD; docs/reference/method.md, equation 1.
    """
    check_embeddings(student=student, teacher=teacher)
    return (unit(student) - unit(teacher.detach())).square().sum(dim=1).mean()


def fcd_weight() -> float:
    """Declare the option that the methods which add terms to FCD share."""
    return option(
        1.0,
        help="Weight of FCD beside the method's own terms; 0 leaves the method by itself.",
        within=">=0",
    )


def add_fcd(terms: dict[str, "Tensor"], batch: Batch, weight: float) -> dict[str, "Tensor"]:
    """Put a weighted FCD in front of a method's own terms, unless its weight is zero."""
    return (
        {"fcd": weight * feature_consistency_loss(batch.student, batch.teacher), **terms}
        if weight
        else terms
    )
