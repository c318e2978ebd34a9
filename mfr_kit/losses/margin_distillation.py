"""MarginDistillation: ArcFace on the teacher's class centres, which stay, with a margin that is
the larger the nearer the teacher holds the sample to its centre.
"""

from typing import TYPE_CHECKING

from mfr_kit.losses._batch import Batch, Terms, unit
from mfr_kit.losses._checks import check_classes, check_embeddings
from mfr_kit.losses.fcd import add_fcd, fcd_weight
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor

GATHERS = True  # the largest cosine of the batch sets the scale of the margins
LEAST_MARGIN, MOST_MARGIN = 0.2, 0.5  # in rad, as published


@options_class
class Options:
    """The scale is published; the weight is a choice."""

    fcd_weight: float = fcd_weight()
    margin_distillation_weight: float = option(
        1.0, help="Weight of the classification by the teacher's centres.", within=">=0"
    )
    margin_distillation_scale: float = option(64.0, help="s: factor on the cosines.", within=">0")


def terms(batch: Batch, options: Options, head: None) -> Terms:
    """FCD plus the classification; the centres are the prototypes."""
    own = _classify(
        batch.student,
        batch.teacher,
        batch.labels,
        batch.prototypes,
        options.margin_distillation_scale,
    )
    weighted = {"cls": options.margin_distillation_weight * own}
    return add_fcd(weighted, batch, options.fcd_weight), {}


def margin_distillation_loss(
    student: "Tensor",
    teacher: "Tensor",
    labels: "Tensor",
    centres: "Tensor",
    scale: float = 64.0,
) -> "Tensor":
    """Cross-entropy over s * cosine to the teacher's centres, the own one's angle enlarged by
    m = (0.5 - 0.2) / D_max * cos(f_t, W_y) + 0.2 rad, D_max the largest such cosine of the batch.

    Args:
        student: (B, D) raw embeddings.
        teacher: (B, D) embeddings, any norm; receives no gradient.
        labels: (B,) int64 identities, 0 .. C-1.
        centres: (C, D) class weights of the teacher, any norm; receive no gradient. Of a teacher
            without a classifier its prototypes.
        scale: s > 0, factor on the cosines.
    Returns:
        Scalar >= 0, in float32 at least.
    Raises:
        KitError: the tensors do not belong together, a label without a centre, or s <= 0.
    Source: Svitov, Alyamkin, *MarginDistillation: distillation for margin-based softmax* (arXiv
        2003.02586), equations 8 and 9.
    """
    check_embeddings(student=student, teacher=teacher)
    check_classes(student, labels, centres, scale)
    return _classify(student, teacher, labels, centres, scale)


def _classify(
    student: "Tensor", teacher: "Tensor", labels: "Tensor", centres: "Tensor", scale: float
) -> "Tensor":
    from mfr_kit.losses import _margin

    own = (unit(teacher.detach()) * unit(centres.detach()[labels])).sum(dim=1)
    most = own.max().clamp_min(1e-12)
    margin = (MOST_MARGIN - LEAST_MARGIN) / most * own + LEAST_MARGIN
    return _margin.margin_softmax(
        student, labels, centres.detach(), "arcface", scale, margin.clamp_min(0.0)
    )
