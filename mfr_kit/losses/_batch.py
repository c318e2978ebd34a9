"""What every method is given, and the one operation every method needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfr_kit.errors import KitError

if TYPE_CHECKING:
    from torch import Tensor

    from mfr_kit.losses._shards import ClassShard

# weighted terms, whose sum is the loss; figures to log
Terms = tuple[dict[str, "Tensor"], dict[str, float]]


def alone(value: "Tensor") -> "Tensor":
    """Return the mean over the ranks of a value where there is one rank: the value."""
    return value


@dataclass(frozen=True)
class Batch:
    """One batch as a loss sees it. The teacher's side never carries a gradient; nothing need be
    normalised but the prototypes.

    With several ranks these are this rank's own B samples, as many as every other rank has; for
    methods with GATHERS = True they are the samples of all ranks.
    """

    student: "Tensor"  # (B, D)
    teacher: "Tensor"  # (B, D) targets
    labels: "Tensor"  # (B,) int64, 0 .. C-1
    prototypes: "Tensor"  # (C, D) unit rows: the teacher's mean embedding of each training identity
    # (B, K, D) teacher-side embeddings of other identities; for methods with MINES = True
    partners: "Tensor | None" = None
    # A tensor of this rank, without its gradient -> its mean over all ranks. The loss of the whole
    # batch is the mean of the ranks' losses, so what a loss divides by must be such a mean, unless
    # it is B, which is the same on every rank.
    mean_over_ranks: "Callable[[Tensor], Tensor]" = alone
    # Which classes' prototypes are here, of C, where the ranks share them: --head sharded, for
    # methods with SHARES_PROTOTYPES = True
    shard: "ClassShard | None" = None

    def own_prototypes(self) -> "Tensor":
        """(B, D) prototypes of the samples' own identities, on whichever rank they lie."""
        if self.shard is None:
            return self.prototypes[self.labels]
        from mfr_kit.losses._shards import rows_of_all

        return rows_of_all(self.labels, self.prototypes, self.shard)

    def __post_init__(self) -> None:
        if self.student.shape != self.teacher.shape:
            raise KitError(
                f"student embeddings {tuple(self.student.shape)} and teacher embeddings "
                f"{tuple(self.teacher.shape)} differ: use a projector"
            )


def unit(x: "Tensor") -> "Tensor":
    """L2-normalise along the last axis; a zero vector stays zero."""
    return x / x.norm(dim=-1, keepdim=True).clamp_min(1e-12)
