"""FitNet on embeddings: the student's embedding is drawn to the teacher's, its length included."""

from typing import TYPE_CHECKING

from mfr_kit.losses._batch import Batch, Terms
from mfr_kit.losses._checks import check_embeddings
from mfr_kit.losses.fcd import add_fcd, fcd_weight
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor


@options_class
class Options:
    """FitNet's weight."""

    fcd_weight: float = fcd_weight()
    fitnet_weight: float = option(1.0, help="Weight of the squared difference.", within=">=0")


def terms(batch: Batch, options: Options, head: None) -> Terms:
    """FCD plus the squared difference."""
    own = options.fitnet_weight * hint_loss(batch.student, batch.teacher)
    return add_fcd({"fitnet": own}, batch, options.fcd_weight), {}


def hint_loss(student: "Tensor", teacher: "Tensor") -> "Tensor":
    """Squared difference of the embeddings as they are, the mean over all B * D numbers.

    Args:
        student: (B, D) embeddings, not normalised.
        teacher: (B, D) embeddings, not normalised; receives no gradient.
    Returns:
        Scalar >= 0.
    Raises:
        KitError: the two are not (B, D) tensors of one shape, type and device.
    Source: Romero et al., *FitNets: Hints for Thin Deep Nets* (arXiv 1412.6550), equation 3, with
        the embedding as the layer that is hinted at.
    """
    check_embeddings(student=student, teacher=teacher)
    return (student - teacher.detach()).square().mean()
