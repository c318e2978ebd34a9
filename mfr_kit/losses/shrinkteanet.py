"""ShrinkTeaNet: the direction of the teacher's embedding, beside ArcFace on the student."""

from typing import TYPE_CHECKING

from mfr_kit.losses._batch import Batch, Terms, unit
from mfr_kit.losses._checks import check_embeddings
from mfr_kit.losses.fcd import add_fcd, fcd_weight
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor, nn


@options_class
class Options:
    """The weights of its two terms; its cosine is half of FCD, which `--fcd-weight 0` leaves out as
    published.
    """

    fcd_weight: float = fcd_weight()
    shrinkteanet_angle: float = option(1.0, help="Weight of 1 - cosine.", within=">=0")
    shrinkteanet_class: float = option(
        1.0, help="Weight of ArcFace with its usual constants.", within=">0"
    )


def head(options: Options, classes: int, size: int) -> "nn.Module":
    """Make the ArcFace head, s = 64 and m = 0.5."""
    from mfr_kit.losses import _margin

    return _margin.build("arcface", classes, size)


def terms(batch: Batch, options: Options, head: "nn.Module") -> Terms:
    """FCD plus the angle and the classification."""
    own = {
        "angle": options.shrinkteanet_angle * angular_loss(batch.student, batch.teacher),
        "cls": options.shrinkteanet_class * head(batch.student, batch.labels),
    }
    return add_fcd(own, batch, options.fcd_weight), {}


def angular_loss(student: "Tensor", teacher: "Tensor") -> "Tensor":
    """1 - cosine of the embeddings, the mean over the batch.

    Args:
        student: (B, D) embeddings, any norm.
        teacher: (B, D) embeddings, any norm; receives no gradient.
    Returns:
        Scalar in [0, 2].
    Raises:
        KitError: the two are not (B, D) tensors of one shape, type and device.
    Source: Duong et al., *ShrinkTeaNet: Million-scale Lightweight Face Recognition via Shrinking
        Teacher-Student Networks* (arXiv 1905.10620), its angular distillation.
    """
    check_embeddings(student=student, teacher=teacher)
    return 1 - (unit(student) * unit(teacher.detach())).sum(dim=1).mean()
