"""Self-restrained triplet: a masked face goes to its own clean embedding, and away from somebody
else's only while that is too near.
"""

from typing import TYPE_CHECKING

from mfr_kit.losses._batch import Batch, Terms, unit
from mfr_kit.losses._checks import check_embeddings, check_labels, check_strangers
from mfr_kit.losses.fcd import add_fcd, fcd_weight
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor

GATHERS = True  # negatives are other samples of the batch, and its means say whether to restrain


@options_class
class Options:
    """The margin is the published code's."""

    fcd_weight: float = fcd_weight()
    srt_weight: float = option(1.0, help="Weight of the self-restrained triplet.", within=">=0")
    srt_margin: float = option(
        2.0,
        help="m: margin between squared distances of unit embeddings; unrelated people are "
        "2 apart.",
        within=">=0",
    )


def terms(batch: Batch, options: Options, head: None) -> Terms:
    """FCD plus the self-restrained triplet; the figure says whether the batch was restrained."""
    loss, restrained = restrain_triplets(
        batch.student, batch.teacher, batch.labels, options.srt_margin
    )
    return add_fcd({"srt": options.srt_weight * loss}, batch, options.fcd_weight), {
        "restrained": float(restrained)
    }


def self_restrained_triplet_loss(
    student: "Tensor", teacher: "Tensor", labels: "Tensor", margin: float = 2.0
) -> "Tensor":
    """Triplet loss whose negative side stops pulling once anchors are as far from their negatives
    as the positives are.

    The anchor is the student's embedding of a masked face, the positive the teacher's of the same
    face clean, the negative the teacher's of the next face in the batch that is somebody else's
    (batches are shuffled: a random one). With d the squared distance of unit vectors and means over
    the batch::

        mean d(a, n) <  mean d(p, n):  mean max(d(a, p) - d(a, n) + m, 0)
        mean d(a, n) >= mean d(p, n):  mean max(d(a, p) - mean d(p, n) + m, 0)

    so that the restrained form has the gradient of FCD, as unrelated faces are about 2 apart.

    Args:
        student: (B, D) embeddings, any norm.
        teacher: (B, D) embeddings, any norm; receives no gradient.
        labels: (B,) identities.
        margin: m >= 0.
    Returns:
        Scalar >= 0.
    Raises:
        KitError: the tensors do not belong to one batch, or it shows one person only, where
            nobody has a negative.
    Source: Boutros, Damer, Kirchbuchner, Kuijper, *Self-restrained Triplet Loss for Accurate Masked
        Face Recognition* (Pattern Recognition 124, 2022; arXiv 2103.01716), in the form of the
        authors' code (github.com/fdbtrs/Self-restrained-Triplet-Loss).
    """
    check_embeddings(student=student, teacher=teacher)
    check_labels(labels, student)
    return restrain_triplets(student, teacher, labels, margin)[0]


def restrain_triplets(
    student: "Tensor", teacher: "Tensor", labels: "Tensor", margin: float = 2.0
) -> "tuple[Tensor, Tensor]":
    """Return the self-restrained triplet loss, and whether the batch was restrained."""
    anchor, positive = unit(student), unit(teacher.detach())
    negative = positive[_next_of_another(labels)]
    near, far, given = (
        (a - b).square().sum(dim=1)
        for a, b in ((anchor, positive), (anchor, negative), (positive, negative))
    )
    restrained = far.detach().mean() >= given.mean()
    away = given.mean() if restrained else far
    return (near - away + margin).relu().mean(), restrained


def _next_of_another(labels: "Tensor") -> "Tensor":
    """For each sample the index of the next one, going round, that has another label."""
    import torch

    count = len(labels)
    steps = (
        torch.arange(count, device=labels.device)
        - torch.arange(count, device=labels.device)[:, None]
        - 1
    ) % count
    steps = torch.where(labels == labels[:, None], count, steps)
    least, index = steps.min(dim=1)
    check_strangers(least < count)
    return index
