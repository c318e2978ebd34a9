"""SP: samples that are alike for the teacher are alike for the student."""

from typing import TYPE_CHECKING

from mfr_kit.losses._batch import Batch, Terms, unit
from mfr_kit.losses._checks import check_embeddings
from mfr_kit.losses.fcd import add_fcd, fcd_weight
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor

GATHERS = True  # it compares the samples of a batch with each other


@options_class
class Options:
    """SP's weight; the paper uses 3,000 for images' feature maps."""

    fcd_weight: float = fcd_weight()
    sp_weight: float = option(
        3000.0, help="Weight of the similarity-preserving term.", within=">=0"
    )


def terms(batch: Batch, options: Options, head: None) -> Terms:
    """FCD plus the similarity-preserving term."""
    return add_fcd(
        {"sp": options.sp_weight * similarity_preserving_loss(batch.student, batch.teacher)},
        batch,
        options.fcd_weight,
    ), {}


def similarity_preserving_loss(student: "Tensor", teacher: "Tensor") -> "Tensor":
    """1 / B^2 times the squared Frobenius distance of the row-normalised Gram matrices.

    Args:
        student: (B, D) embeddings, not normalised.
        teacher: (B, D') embeddings, not normalised; receives no gradient.
    Returns:
        Scalar >= 0.
    Raises:
        KitError: the two are not embeddings of one batch, type and device.
    Source: Tung, Mori, *Similarity-Preserving Knowledge Distillation* (arXiv 1907.09682), equations
        2 to 4.
    """
    check_embeddings(same_size=False, student=student, teacher=teacher)
    teacher = teacher.detach()
    return (unit(student @ student.T) - unit(teacher @ teacher.T)).square().sum() / len(
        student
    ) ** 2
