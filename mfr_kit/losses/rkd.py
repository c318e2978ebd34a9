"""RKD: the student keeps the teacher's distances (up to scale) and angles between the samples of
a batch.
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
    """RKD's two weights, as published."""

    fcd_weight: float = fcd_weight()
    rkd_distance: float = option(25.0, help="Weight of the distance term.", within=">=0")
    rkd_angle: float = option(
        50.0, help="Weight of the angle term; it costs B^3 cosines a batch.", within=">=0"
    )


def terms(batch: Batch, options: Options, head: None) -> Terms:
    """FCD plus the two relational terms."""
    own = {}
    if options.rkd_distance:
        own["rkd_distance"] = options.rkd_distance * distance_loss(batch.student, batch.teacher)
    if options.rkd_angle:
        own["rkd_angle"] = options.rkd_angle * angle_loss(batch.student, batch.teacher)
    return add_fcd(own, batch, options.fcd_weight), {}


def distance_loss(student: "Tensor", teacher: "Tensor") -> "Tensor":
    """Huber loss (delta 1) between the pairwise distances, each side divided by its mean over
    pairs.

    Args:
        student: (B, D) embeddings, not normalised, B >= 2.
        teacher: (B, D') embeddings, not normalised; receives no gradient.
    Returns:
        Scalar, the mean over all B * B entries, as published.
    Raises:
        KitError: the two are not embeddings of one batch, type and device, or B < 2.
    Source: Park et al., *Relational Knowledge Distillation* (arXiv 1904.05068), equations 5 to 8.
    """
    from torch.nn import functional as F

    check_embeddings(same_size=False, least=2, student=student, teacher=teacher)
    return F.smooth_l1_loss(_scaled_distances(student), _scaled_distances(teacher.detach()))


def angle_loss(student: "Tensor", teacher: "Tensor") -> "Tensor":
    """Huber loss (delta 1) between the cosines of the angles at j of all triplets (i, j, k); mean
    over B^3 entries.

    Args:
        student: (B, D) embeddings, not normalised.
        teacher: (B, D') embeddings, not normalised; receives no gradient.
    Returns:
        Scalar >= 0.
    Raises:
        KitError: the two are not embeddings of one batch, type and device.
    Source: Park et al., *Relational Knowledge Distillation* (arXiv 1904.05068), equations 9 and 10.
    """
    from torch.nn import functional as F

    check_embeddings(same_size=False, student=student, teacher=teacher)
    return F.smooth_l1_loss(_angles(student), _angles(teacher.detach()))


def _scaled_distances(x: "Tensor") -> "Tensor":
    squares = (x.unsqueeze(1) - x.unsqueeze(0)).square().sum(dim=2)
    # the root's gradient stays finite on the diagonal
    distances = squares.clamp_min(1e-12).sqrt() * (squares > 0)
    return distances / distances.sum() * (len(x) * (len(x) - 1))


def _angles(x: "Tensor") -> "Tensor":
    edges = unit(x.unsqueeze(0) - x.unsqueeze(1))  # (j, i, D): from j to i
    return edges @ edges.transpose(1, 2)  # (j, i, k)
