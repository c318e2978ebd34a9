"""CCKD: the student keeps the teacher's correlations between the samples of a batch, through a
Gaussian kernel's first terms.
"""

import math
from typing import TYPE_CHECKING

from mfr_kit.losses._batch import Batch, Terms, unit
from mfr_kit.losses._checks import check_embeddings, check_positive
from mfr_kit.losses.fcd import add_fcd, fcd_weight
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor

GATHERS = True  # it compares the samples of a batch with each other
ORDER = 2  # of the kernel's series, inclusive


@options_class
class Options:
    """The kernel's width is published; the weight is a choice."""

    fcd_weight: float = fcd_weight()
    cckd_weight: float = option(1.0, help="Weight of the correlations.", within=">=0")
    cckd_gamma: float = option(
        0.4, help="g: the kernel is exp(-g |x - y|^2) of unit vectors.", within=">0"
    )


def terms(batch: Batch, options: Options, head: None) -> Terms:
    """FCD plus the correlations."""
    own = correlation_loss(batch.student, batch.teacher, options.cckd_gamma)
    return add_fcd({"cckd": options.cckd_weight * own}, batch, options.fcd_weight), {}


def correlation_loss(student: "Tensor", teacher: "Tensor", gamma: float = 0.4) -> "Tensor":
    """Squared difference of k(x, y) = sum_{p=0..2} exp(-2g) (2g)^p / p! (x.y)^p over all pairs of
    the batch, a sample with itself included.

    Args:
        student: (B, D) embeddings, any norm.
        teacher: (B, D') embeddings, any norm; receives no gradient.
        gamma: g > 0.
    Returns:
        Scalar >= 0, the mean over B * B entries.
    Raises:
        KitError: the two are not embeddings of one batch, type and device, or g <= 0.
    Source: Peng et al., *Correlation Congruence for Knowledge Distillation* (arXiv 1904.01802),
        equation 11.
    """
    check_embeddings(same_size=False, student=student, teacher=teacher)
    check_positive(gamma=gamma)
    return (_kernel(student, gamma) - _kernel(teacher.detach(), gamma)).square().mean()


def _kernel(x: "Tensor", gamma: float) -> "Tensor":
    rows = unit(x)
    cosine = rows @ rows.T
    total = cosine.new_zeros(())
    for power in range(ORDER + 1):
        factor = math.exp(-2 * gamma) * (2 * gamma) ** power / math.factorial(power)
        total = total + factor * cosine**power
    return total
