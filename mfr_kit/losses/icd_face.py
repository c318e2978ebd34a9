"""ICD-Face in our reading of its abstract: the student's similarities within a person are
distributed as the teacher's, with banks of earlier embeddings for enough pairs.
"""

from typing import TYPE_CHECKING, Any

from mfr_kit.losses._batch import Batch, Terms
from mfr_kit.losses._checks import check_embeddings, check_labels, check_range
from mfr_kit.losses.fcd import add_fcd, fcd_weight
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mfr_kit.losses._memory import Banks

GATHERS = True  # the distributions are those of the whole batch
POINTS = 41  # at which a density of cosines, from -1 to 1, is looked at


@options_class
class Options:
    """All are choices: only the abstract was at hand."""

    fcd_weight: float = fcd_weight()
    icd_weight: float = option(1.0, help="Weight of the distributions.", within=">=0")
    icd_bank: int = option(4, help="Embeddings of a person that are remembered.", within=">=1")
    icd_width: float = option(
        0.05, help="Standard deviation of a similarity's kernel, as a cosine.", within=">0"
    )


def head(options: Options, classes: int, size: int) -> "nn.Module":
    """Make the banks: 2 C M D numbers."""
    from mfr_kit.losses import _memory

    return _memory.Banks(classes, size, options.icd_bank)


def terms(batch: Batch, options: Options, head: Any) -> Terms:
    """FCD plus the distance of the distributions; the figure counts the batch's pairs."""
    loss, pairs = _compare(batch.student, batch.teacher, batch.labels, head, options.icd_width)
    own = {"icd": options.icd_weight * loss}
    return add_fcd(own, batch, options.fcd_weight), {"pairs": float(pairs)}


def compactness_loss(
    student: "Tensor",
    teacher: "Tensor",
    labels: "Tensor",
    banks: "Banks",
    width: float = 0.05,
) -> "Tensor":
    """KL divergence of the student's distribution of similarities within people from the teacher's,
    each a sum of Gaussian kernels over the cosines of a batch to its people's banks.

    Args:
        student: (B, D) embeddings, any norm.
        teacher: (B, D) embeddings, any norm; receives no gradient.
        labels: (B,) int64 identities, 0 .. C-1.
        banks: `_memory.Banks(classes, size, length)`; in training it takes the batch up.
        width: standard deviation of the kernel > 0, as a cosine.
    Returns:
        Scalar >= 0; 0 while the banks of these people are empty.
    Raises:
        KitError: the tensors do not belong together, or a label has no bank.
    Source: Yu et al., *ICD-Face: Intra-class Compactness Distillation for Face Recognition* (ICCV
        2023), in our reading of its abstract; the body was not at hand.
    """
    check_embeddings(student=student, teacher=teacher)
    check_labels(labels, student)
    check_range(labels, len(banks.seen))
    return _compare(student, teacher, labels, banks, width)[0]


def _compare(
    student: "Tensor", teacher: "Tensor", labels: "Tensor", banks: "Banks", width: float
) -> "tuple[Tensor, int]":
    """Return the divergence, and the number of pairs."""
    teacher = teacher.detach()
    own, wanted = (
        banks.similarities(side, labels, number) for number, side in enumerate((student, teacher))
    )
    if banks.training:
        banks.remember(student.detach(), teacher, labels)
    if not len(own):
        return (student * 0).sum(), 0
    found, right = (_log_density(side, width) for side in (own, wanted))
    return (right.exp() * (right - found)).sum(), len(own)


def _log_density(cosines: "Tensor", width: float) -> "Tensor":
    """(P,) cosines -> (POINTS,) logarithms of a density that sums to one."""
    import torch

    points = torch.linspace(-1, 1, POINTS, dtype=cosines.dtype, device=cosines.device)
    kernels = (-0.5 * ((cosines[:, None] - points) / width).square()).logsumexp(dim=0)
    return kernels.log_softmax(dim=0)
