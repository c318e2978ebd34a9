"""Triplet distillation: a triplet loss whose margin grows with how far the teacher holds the
negative from the anchor.
"""

from typing import TYPE_CHECKING

from mfr_kit.losses._batch import Batch, Terms, unit
from mfr_kit.losses._checks import check_embeddings, check_labels, check_like, check_strangers
from mfr_kit.losses.fcd import add_fcd, fcd_weight
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor

GATHERS = True  # negatives are other samples of the batch
LEAST_MARGIN, MOST_MARGIN = 0.2, 0.5  # as published


@options_class
class Options:
    """The two margins are published; the weight is a choice."""

    fcd_weight: float = fcd_weight()
    triplet_weight: float = option(1.0, help="Weight of the triplets.", within=">=0")


def terms(batch: Batch, options: Options, head: None) -> Terms:
    """FCD plus the triplets."""
    own = triplet_distillation_loss(
        batch.student, batch.teacher, batch.own_prototypes(), batch.labels
    )
    return add_fcd({"triplet": options.triplet_weight * own}, batch, options.fcd_weight), {}


def triplet_distillation_loss(
    student: "Tensor", teacher: "Tensor", positives: "Tensor", labels: "Tensor"
) -> "Tensor":
    """Mean of max(d(a, p) - d(a, n) + m, 0) with d the squared distance of unit vectors and the
    margin m = (0.5 - 0.2) / D_max * max(d_t(a, n) - d_t(a, p), 0) + 0.2 by the teacher's distances,
    D_max the largest such difference of the batch.

    The anchor is the student's embedding, the negative the student's nearest one of somebody else
    in the batch. The paper's positive is another image of the person; most people here have one, so
    it is the teacher's prototype of the person.

    Args:
        student: (B, D) embeddings, any norm.
        teacher: (B, D) embeddings, any norm; receives no gradient.
        positives: (B, D) teacher-side embeddings of the samples' people, any norm; receive no
            gradient.
        labels: (B,) identities.
    Returns:
        Scalar >= 0.
    Raises:
        KitError: the tensors do not belong to one batch, or it shows one person only, where
            nobody has a negative.
    Source: Feng et al., *Triplet Distillation for Deep Face Recognition* (arXiv 1905.04457).
    """
    check_embeddings(student=student, teacher=teacher, positives=positives)
    check_like("student", student, "positives", positives)
    check_labels(labels, student)
    same = labels == labels[:, None]
    check_strangers((~same).any(dim=1))
    own, taught, aim = unit(student), unit(teacher.detach()), unit(positives.detach())
    nearest = (own @ own.T).detach().masked_fill(same, -2.0).argmax(dim=1)
    gap = (_squares(taught, taught[nearest]) - _squares(taught, aim)).relu()
    most = gap.max().clamp_min(1e-12)
    margin = (MOST_MARGIN - LEAST_MARGIN) / most * gap + LEAST_MARGIN
    return (_squares(own, aim) - _squares(own, own[nearest]) + margin).relu().mean()


def _squares(a: "Tensor", b: "Tensor") -> "Tensor":
    return (a - b).square().sum(dim=1)
