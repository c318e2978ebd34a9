"""GKD through a prototype head: of the classification, what the teacher holds likely is taught,
and how much that is; the order among the unlikely is not.
"""

from typing import TYPE_CHECKING

from mfr_kit.losses._batch import Batch, Terms, unit
from mfr_kit.losses._checks import check_embeddings, check_positive
from mfr_kit.losses.fcd import add_fcd, fcd_weight
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor

LEAST = -50.0  # log-probabilities are not looked at below


@options_class
class Options:
    """The abstract names the three parts; the constants are choices."""

    fcd_weight: float = fcd_weight()
    gkd_primary: float = option(1.0, help="Weight within the primary group.", within=">=0")
    gkd_binary: float = option(1.0, help="Weight of the primary group's share.", within=">=0")
    gkd_share: float = option(
        0.9, help="Cumulative probability of the primary group.", within=">0..1"
    )
    gkd_temperature: float = option(4.0, help="T: softens both sides.", within=">0")
    gkd_scale: float = option(64.0, help="s: factor on the cosines to the prototypes.", within=">0")


def terms(batch: Batch, options: Options, head: None) -> Terms:
    """FCD plus primary and binary KD; the figure is the mean size of the primary group."""
    teacher, student = (
        options.gkd_scale * unit(side) @ batch.prototypes.T
        for side in (batch.teacher.detach(), batch.student)
    )
    primary, binary, size = _groups(student, teacher, options.gkd_temperature, options.gkd_share)
    own = {"primary": options.gkd_primary * primary, "binary": options.gkd_binary * binary}
    return add_fcd(own, batch, options.fcd_weight), {"group": float(size)}


def grouped_loss(
    student: "Tensor", teacher: "Tensor", temperature: float = 4.0, share: float = 0.9
) -> "Tensor":
    """T^2 times the KL divergence within the teacher's primary group and that of the group against
    the rest, the mean over the batch.

    The primary group of a sample is the fewest classes whose softened probabilities, by the
    teacher, add up to `share`.

    Args:
        student: (B, C) logits.
        teacher: (B, C) logits; receives no gradient.
        temperature: T > 0.
        share: in (0, 1].
    Returns:
        Scalar >= 0.
    Raises:
        KitError: the two are not (B, C) tensors of one shape, type and device, or T, share <= 0.
    Source: Zhao et al., *Grouped Knowledge Distillation for Deep Face Recognition* (arXiv
        2304.04462), in our reading of its abstract; its constants were not at hand.
    """
    check_embeddings(student=student, teacher=teacher)
    check_positive(temperature=temperature, share=share)
    primary, binary, _ = _groups(student, teacher, temperature, share)
    return primary + binary


def _groups(
    student: "Tensor", teacher: "Tensor", temperature: float, share: float
) -> "tuple[Tensor, Tensor, Tensor]":
    """Return the two divergences, and the mean size of the primary groups."""
    import torch

    wanted = (teacher.detach() / temperature).log_softmax(dim=1)
    found = (student / temperature).log_softmax(dim=1)
    ordered, order = wanted.exp().sort(dim=1, descending=True)
    before = ordered.cumsum(dim=1) - ordered
    kept = torch.zeros_like(wanted, dtype=torch.bool).scatter(1, order, before < share)
    sides = [_divide(side, kept) for side in (wanted, found)]
    (inside_t, parts_t), (inside_s, parts_s) = sides
    primary = torch.where(kept, inside_t.exp() * (inside_t - inside_s), 0.0).sum(dim=1).mean()
    binary = (parts_t.exp() * (parts_t - parts_s)).sum(dim=1).mean()
    size = kept.sum(dim=1).to(wanted.dtype).mean()
    return temperature**2 * primary, temperature**2 * binary, size


def _divide(logs: "Tensor", kept: "Tensor") -> "tuple[Tensor, Tensor]":
    """Return (B, C) log-probabilities within the group, and (B, 2) those of group and rest."""
    import torch

    inside, rest = (
        torch.where(mask, logs, LEAST).logsumexp(dim=1, keepdim=True) for mask in (kept, ~kept)
    )
    return logs - inside, torch.cat([inside, rest], dim=1).clamp(LEAST, 0.0)
