"""Naive mutual relation distillation: all pairs of the batch instead of mined partners, every
relation alike.
"""

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
    """How much the relations weigh."""

    fcd_weight: float = fcd_weight()
    mrd_weight: float = option(1.0, help="Weight of the naive MRD term.", within=">=0")


def terms(batch: Batch, options: Options, head: None) -> Terms:
    """FCD plus the mean squared difference of all the batch's relations."""
    return add_fcd(
        {"mrd": options.mrd_weight * batch_relation_loss(batch.student, batch.teacher)},
        batch,
        options.fcd_weight,
    ), {}


def batch_relation_loss(student: "Tensor", teacher: "Tensor") -> "Tensor":
    """Mean over i != j of (R(f_i^s, f_j^t) - R(f_i^t, f_j^t))^2.

    Args:
        student: (B, D) embeddings, any norm; B >= 2.
        teacher: (B, D) embeddings, any norm; receives no gradient.
    Returns:
        Scalar >= 0.
    Raises:
        KitError: the two are not (B, D) tensors of one shape, type and device, or B < 2.
    Source: CoupleFace (arXiv 2204.05502), its MRD before mining and RAD, in our reading.
    """
    check_embeddings(least=2, student=student, teacher=teacher)
    count = len(student)
    teacher = unit(teacher.detach())
    difference = (unit(student) - teacher) @ teacher.T
    return (difference - difference.diag().diag()).square().sum() / (count * (count - 1))
