"""CRD: contrastive distillation with a memory of both sides' projections."""

from typing import TYPE_CHECKING

from mfr_kit.losses._batch import Batch, Terms
from mfr_kit.losses._checks import check_embeddings, check_labels, check_range
from mfr_kit.losses.fcd import add_fcd, fcd_weight
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mfr_kit.losses._memory import Contrast

GATHERS = True  # every rank keeps all memories


@options_class
class Options:
    """All constants are published."""

    fcd_weight: float = fcd_weight()
    crd_weight: float = option(0.8, help="Weight of the contrast.", within=">=0")
    crd_negatives: int = option(
        16384, help="Other people that a sample is contrasted with, at most.", within=">=1"
    )
    crd_temperature: float = option(0.07, help="tau, of the exponentials.", within=">0")
    crd_momentum: float = option(
        0.5, help="Share of a memory that a new sample leaves.", within="0..<1"
    )
    crd_width: int = option(128, help="Size of the projections.", within=">=1")


def head(options: Options, classes: int, size: int) -> "nn.Module":
    """Make the projections, which are trained and not exported, and the memories."""
    from mfr_kit.losses import _memory

    return _memory.Contrast(
        classes,
        size,
        width=options.crd_width,
        negatives=options.crd_negatives,
        temperature=options.crd_temperature,
        momentum=options.crd_momentum,
    )


def terms(batch: Batch, options: Options, head: "nn.Module") -> Terms:
    """FCD plus the contrast."""
    own = head(batch.student, batch.teacher.detach(), batch.labels)
    return add_fcd({"crd": options.crd_weight * own}, batch, options.fcd_weight), {}


def contrast_loss(
    student: "Tensor", teacher: "Tensor", labels: "Tensor", memory: "Contrast"
) -> "Tensor":
    """Tell, of each side's projection, the other side's memory of the same person from those of
    other people (noise-contrastive estimation); in training the memory takes the batch up.

    The paper remembers every image; here a person has one memory a side, and samples of one person
    in a batch enter it as their mean.

    Args:
        student: (B, D) embeddings.
        teacher: (B, D) embeddings; receives no gradient (its projection does).
        labels: (B,) int64 identities, 0 .. C-1.
        memory: `_memory.Contrast(classes, size)`, whose parameters are to be trained too.
    Returns:
        Scalar >= 0, the mean over the batch of both sides' sums.
    Raises:
        KitError: the tensors do not belong together, or a label has no memory.
    Source: Tian, Krishnan, Isola, *Contrastive Representation Distillation* (arXiv 1910.10699),
        equations 17 and 18; github.com/HobbitLong/RepDistiller.
    """
    check_embeddings(student=student, teacher=teacher)
    check_labels(labels, student)
    check_range(labels, memory.memory.shape[1])
    return memory(student, teacher.detach(), labels)
