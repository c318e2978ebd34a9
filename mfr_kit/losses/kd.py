"""KD through a prototype head: a teacher without a classifier classifies by its own class
prototypes, and so does the student.
"""

from typing import TYPE_CHECKING

from mfr_kit.losses._batch import Batch, Terms, unit
from mfr_kit.losses._checks import check_embeddings, check_positive
from mfr_kit.losses.fcd import add_fcd, fcd_weight
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor


SHARES_PROTOTYPES = True  # it can do with a share of them on each rank


@options_class
class Options:
    """KD's temperature and the prototype head's scale."""

    fcd_weight: float = fcd_weight()
    kd_weight: float = option(1.0, help="Weight of the KD term.", within=">=0")
    kd_temperature: float = option(4.0, help="T: softens both sides.", within=">0")
    kd_scale: float = option(64.0, help="s: factor on the cosines to the prototypes.", within=">0")


def terms(batch: Batch, options: Options, head: None) -> Terms:
    """FCD plus the divergence of the two classifications."""
    if batch.shard is not None:
        from mfr_kit.losses._shards import divergence

        own, wanted = (options.kd_scale * unit(side) for side in (batch.student, batch.teacher))
        loss = divergence(own, wanted, batch.prototypes, options.kd_temperature, batch.shard)
        return add_fcd({"kd": options.kd_weight * loss}, batch, options.fcd_weight), {}
    teacher, student = (
        options.kd_scale * unit(side) @ batch.prototypes.T
        for side in (batch.teacher, batch.student)
    )
    return add_fcd(
        {"kd": options.kd_weight * distillation_loss(student, teacher, options.kd_temperature)},
        batch,
        options.fcd_weight,
    ), {}


def distillation_loss(student: "Tensor", teacher: "Tensor", temperature: float = 4.0) -> "Tensor":
    """T^2 KL(softmax(z_t / T), softmax(z_s / T)), the mean over the batch.

    Args:
        student: (B, C) logits.
        teacher: (B, C) logits; receives no gradient.
        temperature: T > 0.
    Returns:
        Scalar >= 0.
    Raises:
        KitError: the two are not (B, C) tensors of one shape, type and device, or T <= 0.
    Source: Hinton et al., *Distilling the Knowledge in a Neural Network* (arXiv 1503.02531).
    """
    check_embeddings(student=student, teacher=teacher)
    check_positive(temperature=temperature)
    wanted = (teacher.detach() / temperature).log_softmax(dim=1)
    found = (student / temperature).log_softmax(dim=1)
    return temperature**2 * (wanted.exp() * (wanted - found)).sum(dim=1).mean()
