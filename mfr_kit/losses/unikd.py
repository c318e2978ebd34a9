"""UniKD in our reading of its abstract: feature distillation that looks most at hard samples, and
similarities to a memory, of which the nearest count.
"""

from typing import TYPE_CHECKING, Any

from mfr_kit.losses._batch import Batch, Terms, unit
from mfr_kit.losses._checks import check_embeddings, check_labels
from mfr_kit.losses.fcd import add_fcd, fcd_weight
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mfr_kit.losses._memory import Queue

GATHERS = True  # hardness is relative to the batch, and every rank keeps the whole memory


@options_class
class Options:
    """All are choices: only the abstract was at hand."""

    fcd_weight: float = fcd_weight()
    unikd_instance: float = option(1.0, help="Weight of the hard samples.", within=">=0")
    unikd_relation: float = option(1.0, help="Weight of the similarities.", within=">=0")
    unikd_hardness: float = option(
        1.0, help="Power of a sample's distance in its weight; 0: all alike.", within=">=0"
    )
    unikd_memory: int = option(4096, help="Samples that are remembered.", within=">=1")
    unikd_nearest: int = option(
        64, help="Remembered samples of other people that a sample looks at.", within=">=1"
    )


def head(options: Options, classes: int, size: int) -> "nn.Module":
    """Make the memory."""
    from mfr_kit.losses import _memory

    return _memory.Queue(size, options.unikd_memory)


def terms(batch: Batch, options: Options, head: Any) -> Terms:
    """FCD plus the two terms."""
    own = {
        "instance": options.unikd_instance
        * hard_instance_loss(batch.student, batch.teacher, options.unikd_hardness),
        "relation": options.unikd_relation
        * _relate(batch.student, batch.teacher, batch.labels, head, options.unikd_nearest),
    }
    return add_fcd(own, batch, options.fcd_weight), {}


def hard_instance_loss(student: "Tensor", teacher: "Tensor", hardness: float = 1.0) -> "Tensor":
    """Mean of w (1 - cos), the weight w the sample's own 1 - cos to the power of `hardness` over
    the batch's mean of it; weights are constants.

    Args:
        student: (B, D) embeddings, any norm.
        teacher: (B, D) embeddings, any norm; receives no gradient.
        hardness: >= 0; 0 gives half of FCD.
    Returns:
        Scalar >= 0.
    Raises:
        KitError: the two are not (B, D) tensors of one shape, type and device.
    Source: Mishra, Uikey, *Unified Knowledge Distillation Framework: Fine-Grained Alignment and
        Geometric Relationship Preservation for Deep Face Recognition* (arXiv 2508.11376), in our
        reading of its abstract; the body was not at hand.
    """
    check_embeddings(student=student, teacher=teacher)
    distance = 1 - (unit(student) * unit(teacher.detach())).sum(dim=1)
    weight = distance.detach().clamp_min(0) ** hardness
    return (weight * distance).mean() / weight.mean().clamp_min(1e-12)


def memory_relation_loss(
    student: "Tensor", teacher: "Tensor", labels: "Tensor", memory: "Queue", nearest: int = 64
) -> "Tensor":
    """Squared difference of both sides' cosines to the remembered samples of other people that the
    teacher holds nearest, each side to its own memory.

    Args:
        student: (B, D) embeddings, any norm.
        teacher: (B, D) embeddings, any norm; receives no gradient.
        labels: (B,) int64 identities.
        memory: `_memory.Queue(size, length)`; in training it takes the batch up.
        nearest: remembered samples that count, of each sample.
    Returns:
        Scalar >= 0, the mean over the pairs; 0 while nobody else is remembered.
    Raises:
        KitError: the tensors do not belong to one batch.
    Source: as `hard_instance_loss`.
    """
    check_embeddings(student=student, teacher=teacher)
    check_labels(labels, student)
    return _relate(student, teacher, labels, memory, nearest)


def _relate(
    student: "Tensor", teacher: "Tensor", labels: "Tensor", memory: "Queue", nearest: int
) -> "Tensor":
    import torch

    teacher = teacher.detach()
    # copies: the memory moves before the gradient is asked for
    own, taught = (rows.to(student.dtype).clone() for rows in memory.rows)
    usable = (memory.labels >= 0) & (memory.labels != labels[:, None])
    if memory.training:
        memory.remember(student.detach(), teacher, labels)
    wanted = (unit(teacher) @ taught.T).masked_fill(~usable, -torch.inf)
    top = wanted.topk(min(nearest, wanted.shape[1]), dim=1)
    found = (unit(student) @ own.T).gather(1, top.indices)
    there = top.values > -torch.inf
    difference = torch.where(there, found - top.values.masked_fill(~there, 0.0), 0.0)
    return difference.square().sum() / there.sum().clamp_min(1)
