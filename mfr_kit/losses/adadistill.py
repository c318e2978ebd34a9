"""AdaDistill: ArcFace on class centres that follow the teacher's embeddings, the slower the better
the student does.
"""

from typing import TYPE_CHECKING, Any

from mfr_kit.losses._batch import Batch, Terms
from mfr_kit.losses._checks import check_classes, check_embeddings
from mfr_kit.losses.fcd import add_fcd, fcd_weight
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor, nn

GATHERS = True  # every rank keeps all centres


@options_class
class Options:
    """The two constants are published; the weight is a choice."""

    fcd_weight: float = fcd_weight()
    adadistill_weight: float = option(1.0, help="Weight of the classification.", within=">=0")
    adadistill_scale: float = option(64.0, help="s: factor on the cosines.", within=">0")
    adadistill_margin: float = option(0.45, help="m: margin, in rad.", within=">=0")


def head(options: Options, classes: int, size: int) -> "nn.Module":
    """Make the centres."""
    from mfr_kit.losses import _memory

    return _memory.DistilledCentres(classes, size)


def terms(batch: Batch, options: Options, head: Any) -> Terms:
    """FCD plus the classification by the centres as they are after the batch."""
    from mfr_kit.losses import _margin

    if head.training:
        head.follow(batch.student.detach(), batch.teacher.detach(), batch.labels)
    own = _margin.margin_softmax(
        batch.student,
        batch.labels,
        head.centres,
        "arcface",
        options.adadistill_scale,
        options.adadistill_margin,
    )
    return add_fcd({"cls": options.adadistill_weight * own}, batch, options.fcd_weight), {}


def distilled_centres_loss(
    student: "Tensor",
    labels: "Tensor",
    centres: "Tensor",
    scale: float = 64.0,
    margin: float = 0.45,
) -> "Tensor":
    """Classify with ArcFace's margin by centres that get no gradient; `_memory.DistilledCentres`
    moves them.

    Args:
        student: (B, D) raw embeddings.
        labels: (B,) int64 identities, 0 .. C-1.
        centres: (C, D) centres, any norm; receive no gradient.
        scale: s > 0, factor on the cosines.
        margin: m, in rad.
    Returns:
        Scalar >= 0, in float32 at least.
    Raises:
        KitError: the tensors do not belong together, a label without a centre, or s <= 0.
    Source: Boutros, Struc, Damer, *AdaDistill: Adaptive Knowledge Distillation for Deep Face
        Recognition* (arXiv 2407.01332), equations 5 to 8; github.com/fdbtrs/AdaDistill.
    """
    from mfr_kit.losses import _margin

    check_embeddings(student=student)
    check_classes(student, labels, centres, scale)
    return _margin.margin_softmax(student, labels, centres.detach(), "arcface", scale, margin)
