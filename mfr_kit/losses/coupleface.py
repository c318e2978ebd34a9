"""CoupleFace in our reading: FCD plus relation-aware distillation (RAD) towards mined
neighbours. docs/reference/method.md has the equations.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mfr_kit.errors import KitError
from mfr_kit.losses._batch import Batch, Terms, alone, unit
from mfr_kit.losses._checks import check_choice, check_embeddings, check_partners
from mfr_kit.losses.fcd import add_fcd, fcd_weight
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor, nn

# the trainer gives `batch.partners`, chosen by the options `neighbours`, `partners` and `mining`
MINES = True
SHARES_PROTOTYPES = True  # it can do with a share of them on each rank
FORMS = ("hinge", "l1", "l2", "deadzone")
NORMALISE = ("active", "all")


@options_class
class Options:
    """How the mutual relations are mined, compared and weighted."""

    fcd_weight: float = fcd_weight()
    alpha_neg: float = option(
        0.5,
        help="Weight of RAD on negative relations; see docs/reference/method.md for why 0.5.",
        within=">=0",
    )
    alpha_pos: float = option(
        0.0, help="Weight of RAD on the relation to one's own prototype.", within=">=0"
    )
    tolerance: float = option(
        0.03, help="q: cosine difference that costs nothing (hinge, deadzone).", within="0..2"
    )
    rad_form: str = option(
        "hinge", help="How two relations are compared.", choices=lambda: list(FORMS)
    )
    rad_normalise: str = option(
        "active",
        help="Average over the relations that cost something, or over all.",
        choices=lambda: list(NORMALISE),
    )
    neighbours: int = option(
        100, help="K: partners of a sample; capped at the number of other people.", within=">=1"
    )
    partners: str = option(
        "image",
        help="A partner is one image of the identity, drawn anew, or its prototype.",
        choices=lambda: ["image", "prototype"],
    )
    search: str = option(
        "exact",
        help="How the teacher's neighbours are found; faiss is approximate, for a million people.",
        choices=lambda: ["exact", "faiss"],
    )
    mining: str = option(
        "teacher",
        help="Whose nearest identities are the partners.",
        choices=lambda: ["teacher", "student", "both"],
    )
    beta: float = option(0.0, help="Weight of a classification term on the student.", within=">=0")
    beta_head: str = option(
        "arcface", help="Head of that term.", choices=lambda: ["arcface", "cosface", "adaface"]
    )


def head(options: Options, classes: int, size: int) -> "nn.Module | None":
    """Make the classification head with its usual constants, if `beta` asks for one."""
    if not options.beta:
        return None
    from mfr_kit.losses import _margin

    return _margin.build(options.beta_head, classes, size)


def terms(batch: Batch, options: Options, head: "nn.Module | None") -> Terms:
    """L = FCD + alpha_neg RAD- + alpha_pos RAD+ + beta L_cls."""
    assert batch.partners is not None  # MINES
    sides = [(batch.partners, 1)]
    if options.alpha_pos:
        sides.append((batch.own_prototypes().unsqueeze(1), -1))
    costs = [
        relation_costs(
            batch.student, batch.teacher, others, options.tolerance, options.rad_form, sign
        )
        for others, sign in sides
    ]
    (negative, *positive), shares = _means(costs, options.rad_normalise, batch.mean_over_ranks)
    own = {"rad_neg": options.alpha_neg * negative}
    if positive:
        own["rad_pos"] = options.alpha_pos * positive[0]
    if head is not None:
        own["cls"] = options.beta * head(batch.student, batch.labels, batch.mean_over_ranks)
    return add_fcd(own, batch, options.fcd_weight), {"active": float(shares[0])}


def relation_aware_loss(
    student: "Tensor",
    teacher: "Tensor",
    partners: "Tensor",
    *,
    tolerance: float = 0.03,
    form: str = "hinge",
    normalise: str = "active",
    sign: int = 1,
) -> "Tensor":
    """Penalise a student whose cosines to its partners are worse than its teacher's.

    Args:
        student: (B, D) embeddings, any norm.
        teacher: (B, D) embeddings, any norm; receives no gradient.
        partners: (B, K, D) teacher-side embeddings, any norm; receive no gradient.
        tolerance: cosine difference that costs nothing (hinge and deadzone), in [0, 2].
        form: "hinge" max(sign * difference - q, 0); "l1", "l2"; "deadzone" max(|difference| - q,
            0).
        normalise: "all" divides by B * K, "active" by the number of relations that cost something
            (none cost: 0).
        sign: 1 for partners to keep away from (negatives), -1 for partners to stay near to
            (positives).
    Returns:
        Scalar >= 0; 0 when student and teacher agree.
    Raises:
        KitError: the tensors do not belong to one batch, type and device, D differs between
            student and partners, K < 1, or a form that there is not.
    Example:
        >>> import torch
        >>> teacher, partners = torch.tensor([[1.0, 0.0]]), torch.tensor([[[0.0, 1.0]]])
        >>> relation_aware_loss(teacher, teacher, partners)
        tensor(0.)
        >>> nearer_to_the_stranger = torch.tensor([[0.8, 0.6]])
        >>> relation_aware_loss(nearer_to_the_stranger, teacher, partners)
        tensor(0.5700)

    Source: CoupleFace (arXiv 2204.05502), RAD in our reading; docs/reference/method.md, equation 5.
    """
    return compare_relations(
        student,
        teacher,
        partners,
        tolerance=tolerance,
        form=form,
        normalise=normalise,
        sign=sign,
    )[0]


def compare_relations(
    student: "Tensor",
    teacher: "Tensor",
    partners: "Tensor",
    *,
    tolerance: float = 0.03,
    form: str = "hinge",
    normalise: str = "active",
    sign: int = 1,
) -> "tuple[Tensor, Tensor]":
    """Return `relation_aware_loss`, and the share of relations in [0, 1] that cost something."""
    check_choice("normalise", normalise, NORMALISE)
    cost = relation_costs(student, teacher, partners, tolerance, form, sign)
    (loss,), (share,) = _means([cost], normalise)
    return loss, share


def relation_costs(
    student: "Tensor",
    teacher: "Tensor",
    partners: "Tensor",
    tolerance: float,
    form: str,
    sign: int,
) -> "Tensor":
    """Return what each of the (B, K) relations costs; arguments as in `relation_aware_loss`."""
    check_embeddings(student=student, teacher=teacher)
    check_partners(partners, student)
    if not 0 <= tolerance <= 2:
        raise KitError(f"tolerance is a difference of cosines, in [0, 2]; found {tolerance}")
    check_choice("form", form, FORMS)
    towards = unit(partners.detach()).transpose(1, 2)  # (B, D, K)
    difference = ((unit(student) - unit(teacher.detach())).unsqueeze(1) @ towards).squeeze(1)
    if form == "hinge":
        return (sign * difference - tolerance).relu()  # not clamp_min, whose gradient at zero is 1
    if form == "deadzone":
        return (difference.abs() - tolerance).relu()
    return difference.abs() if form == "l1" else difference.square()


def _means(
    costs: "list[Tensor]", normalise: str, mean_over_ranks: "Callable[[Tensor], Tensor]" = alone
) -> "tuple[list[Tensor], list[Tensor]]":
    """Average some (B, K) costs, each over its own relations; return the means and the shares of
    relations that cost something. All are counted over the ranks in one exchange.
    """
    import torch

    counts = torch.stack([(cost.detach() > 0).sum() for cost in costs])
    active = mean_over_ranks(counts.to(torch.float32))  # exact up to 16 million relations
    divisors = torch.where(active > 0, active, 1.0) if normalise == "active" else None
    means = [
        cost.sum() / (cost.numel() if divisors is None else divisors[number].to(cost.dtype))
        for number, cost in enumerate(costs)
    ]
    return means, [active[number] / cost.numel() for number, cost in enumerate(costs)]
