"""EKD: pairs of a batch count as accepted at the same false positive rates by both sides, beside
ArcFace on the student.
"""

from typing import TYPE_CHECKING, Any

from mfr_kit.losses._batch import Batch, Terms, unit
from mfr_kit.losses._checks import check_embeddings, check_labels, check_strangers
from mfr_kit.losses.fcd import add_fcd, fcd_weight
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mfr_kit.losses._memory import Thresholds

GATHERS = True  # it compares the samples of a batch with each other
RATES = tuple(10**-power for power in range(1, 7))  # false positive rates, as published
WIDTH = 0.01  # of the sigmoid that stands for a step, as published


@options_class
class Options:
    """All constants are published."""

    fcd_weight: float = fcd_weight()
    ekd_positive: float = option(0.02, help="Weight of pairs of one person.", within=">=0")
    ekd_negative: float = option(0.01, help="Weight of the hardest other pairs.", within=">=0")
    ekd_hardest: int = option(
        2000, help="The student's most similar pairs of two people that count.", within=">=1"
    )
    ekd_class: float = option(1.0, help="Weight of ArcFace with its usual constants.", within=">=0")


def head(options: Options, classes: int, size: int) -> "nn.Module":
    """Make the running thresholds and the ArcFace head."""
    from torch import nn

    from mfr_kit.losses import _margin, _memory

    parts = {
        "thresholds": _memory.Thresholds(len(RATES)),
        "arcface": _margin.build("arcface", classes, size),
    }
    return nn.ModuleDict(parts)


def terms(batch: Batch, options: Options, head: Any) -> Terms:
    """FCD plus the accepted pairs and the classification."""
    positive, negative = _compare(
        batch.student, batch.teacher, batch.labels, head["thresholds"], options.ekd_hardest
    )
    own = {
        "positive": options.ekd_positive * positive,
        "negative": options.ekd_negative * negative,
    }
    if options.ekd_class:
        own["cls"] = options.ekd_class * head["arcface"](batch.student, batch.labels)
    return add_fcd(own, batch, options.fcd_weight), {}


def evaluation_loss(
    student: "Tensor",
    teacher: "Tensor",
    labels: "Tensor",
    thresholds: "Thresholds",
    hardest: int = 2000,
) -> "Tensor":
    """0.02 times the positive and 0.01 times the negative pairs' squared difference of
    rho(s) = sum_a sigmoid((s - theta_a) / 0.01), where theta_a is a side's own similarity threshold
    at a false positive rate of 1e-1 .. 1e-6 among the batch's pairs, a running mean over batches.

    Args:
        student: (B, D) embeddings, any norm, B >= 2.
        teacher: (B, D') embeddings, any norm; receives no gradient.
        labels: (B,) identities.
        thresholds: `_memory.Thresholds(6)`; in training it follows the batches, from the first one
            (the authors' code begins at zero, which takes some hundred steps to leave).
        hardest: negative pairs that count, the student's most similar.
    Returns:
        Scalar >= 0; without two samples of a person the positive side is 0.
    Raises:
        KitError: the tensors do not belong to one batch, or it shows one person only.
    Source: Huang et al., *Evaluation-oriented Knowledge Distillation for Deep Face Recognition*
        (CVPR 2022); github.com/Tencent/TFace.
    """
    check_embeddings(same_size=False, least=2, student=student, teacher=teacher)
    check_labels(labels, student)
    positive, negative = _compare(student, teacher, labels, thresholds, hardest)
    return 0.02 * positive + 0.01 * negative


def _compare(
    student: "Tensor",
    teacher: "Tensor",
    labels: "Tensor",
    thresholds: "Thresholds",
    hardest: int,
) -> "tuple[Tensor, Tensor]":
    import torch

    rows, columns = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
    same = labels[rows] == labels[columns]
    check_strangers((~same).any())
    sides = [(side @ side.T)[rows, columns] for side in (unit(student), unit(teacher.detach()))]
    negatives = torch.stack([side[~same] for side in sides])
    ordered = negatives.detach().sort(dim=1, descending=True).values
    places = [int(ordered.shape[1] * rate) for rate in RATES]
    limits = thresholds.follow(ordered[:, places])
    kept = negatives[0].detach().topk(min(hardest, negatives.shape[1])).indices
    positive = _difference([side[same] for side in sides], limits)
    return positive, _difference([side[kept] for side in negatives], limits)


def _difference(sides: "list[Tensor]", limits: "Tensor") -> "Tensor":
    """Mean squared difference of the two sides' counts of thresholds passed; 0 of no pairs."""
    counts = [
        ((side[:, None] - limit) / WIDTH).sigmoid().sum(dim=1)
        for side, limit in zip(sides, limits, strict=True)
    ]
    return (counts[0] - counts[1]).square().sum() / max(len(counts[0]), 1)
