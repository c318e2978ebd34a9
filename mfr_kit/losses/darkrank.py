"""DarkRank: the student ranks the nearest samples of the batch as its teacher does."""

from typing import TYPE_CHECKING

from mfr_kit.errors import KitError
from mfr_kit.losses._batch import Batch, Terms, unit
from mfr_kit.losses._checks import check_embeddings, check_positive
from mfr_kit.losses.fcd import add_fcd, fcd_weight
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor

GATHERS = True  # it compares the samples of a batch with each other


@options_class
class Options:
    """The three constants are published; the weight is a choice."""

    fcd_weight: float = fcd_weight()
    darkrank_weight: float = option(1.0, help="Weight of the ranking.", within=">=0")
    darkrank_alpha: float = option(3.0, help="alpha: factor on the scores.", within=">0")
    darkrank_beta: float = option(3.0, help="beta: power of the distances.", within=">=1")
    darkrank_length: int = option(
        3, help="L: nearest samples that are ranked; a batch needs one more.", within=">=2"
    )


def terms(batch: Batch, options: Options, head: None) -> Terms:
    """FCD plus the ranking."""
    own = ranking_loss(
        batch.student,
        batch.teacher,
        options.darkrank_alpha,
        options.darkrank_beta,
        options.darkrank_length,
    )
    return add_fcd({"darkrank": options.darkrank_weight * own}, batch, options.fcd_weight), {}


def ranking_loss(
    student: "Tensor", teacher: "Tensor", alpha: float = 3.0, beta: float = 3.0, length: int = 3
) -> "Tensor":
    """Negative log-likelihood (ListMLE) of the teacher's order of each sample's L nearest, under
    the student's scores S(x, y) = -alpha |x - y|^beta of unit vectors.

    Args:
        student: (B, D) embeddings, any norm, B > L.
        teacher: (B, D') embeddings, any norm; receives no gradient.
        alpha: > 0.
        beta: >= 1.
        length: L >= 2.
    Returns:
        Scalar >= 0, the mean over the batch.
    Raises:
        KitError: the two are not embeddings of one batch, type and device, or B <= L.
    Source: Chen, Wang, Zhang, *DarkRank: Accelerating Deep Metric Learning via Cross Sample
        Similarities Transfer* (arXiv 1707.01220), its hard transfer.
    """
    import torch

    check_embeddings(same_size=False, least=2, student=student, teacher=teacher)
    check_positive(alpha=alpha, beta=beta, length=length)
    if len(student) <= length:
        raise KitError(
            f"the {length} nearest samples of each need a batch of {length + 1}, found "
            f"{len(student)}: raise --batch-size"
        )
    wanted = _scores(teacher.detach(), alpha, beta)
    wanted = wanted.masked_fill(torch.eye(len(wanted), device=wanted.device) > 0, -torch.inf)
    order = wanted.topk(length, dim=1).indices
    found = _scores(student, alpha, beta).gather(1, order)
    rest = found.flip(1).logcumsumexp(dim=1).flip(1)  # of those that are not ranked yet
    return (rest - found).sum(dim=1).mean()


def _scores(x: "Tensor", alpha: float, beta: float) -> "Tensor":
    rows = unit(x)
    squares = (2 - 2 * rows @ rows.T).clamp_min(1e-12)
    return -alpha * squares ** (beta / 2)
