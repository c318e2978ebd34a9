"""What the ranks tell each other where the class axis is divided among them.

DTensor's `loss_parallel` has no place for a margin on one's own class, for rows that are drawn anew
each step, or for shards of unequal length, and ends in a plain cross-entropy; so this is our own.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class ClassShard:
    """The contiguous classes start .. stop-1 of `classes` that one of `world` ranks holds."""

    classes: int
    rank: int = 0
    world: int = 1

    def bounds(self, rank: int) -> tuple[int, int]:
        """Return start and stop of a rank."""
        return self.classes * rank // self.world, self.classes * (rank + 1) // self.world

    @property
    def start(self) -> int:
        """The first class that this rank holds."""
        return self.bounds(self.rank)[0]

    @property
    def stop(self) -> int:
        """The first class after those that this rank holds."""
        return self.bounds(self.rank)[1]

    def __len__(self) -> int:
        return self.stop - self.start


def gather_rows(rows: Tensor, shard: ClassShard) -> Tensor:
    """Join (B, ...) rows of all ranks into (world * B, ...); each rank's rows get the sum over the
    ranks of their gradients.
    """
    return rows if shard.world == 1 else _GatherRows.apply(rows, shard)


def own_rows(rows: Tensor, shard: ClassShard) -> Tensor:
    """Take this rank's part out of what `gather_rows` has joined."""
    return rows.chunk(shard.world)[shard.rank]


def total(value: Tensor, shard: ClassShard, how: dist.ReduceOp.RedOpType | None = None) -> Tensor:
    """Add a tensor over the ranks in place (or take its maximum), outside of autograd."""
    if shard.world > 1:
        dist.all_reduce(value, dist.ReduceOp.SUM if how is None else how)
    return value


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, shard: ClassShard) -> Tensor:
        ctx.shard = shard
        rows = rows.contiguous()
        parts = [torch.empty_like(rows) for _ in range(shard.world)]
        dist.all_gather(parts, rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        # all-reduced, as gloo cannot scatter sums: (world * B, D) numbers
        joined = total(gradients[0].contiguous().clone(), ctx.shard)
        return own_rows(joined, ctx.shard), None


class _Softmax(torch.autograd.Function):
    """Cross-entropy of each row over classes of which this rank holds some columns."""

    @staticmethod
    def forward(
        ctx: Any,
        cosine: Tensor,
        pushed: Tensor,
        places: tuple[Tensor, Tensor],
        limit: float,
        scale: float,
        shard: ClassShard,
    ) -> Tensor:
        logits = cosine.clamp(-limit, limit)
        logits[places] = pushed
        logits.mul_(scale)
        count, columns = logits.shape
        highest = logits.amax(1) if columns else logits.new_full((count,), -torch.inf)
        highest = total(highest, shard, dist.ReduceOp.MAX)
        logits.sub_(highest[:, None])
        own = logits.new_zeros(count)
        own[places[0]] = logits[places]
        shares = logits.exp_()
        sums = torch.stack([shares.sum(1), own])
        exponentials, own = total(sums, shard)
        shares.div_(exponentials[:, None])
        ctx.shard, ctx.scale = shard, scale
        own_shares = shares[places]
        shares.masked_fill_(cosine.abs() > limit, 0.0)  # a clamped cosine has no gradient
        shares[places] = 0.0  # and what was pushed has its own
        ctx.save_for_backward(shares, own_shares, *places)
        return exponentials.log() - own

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        shares, own_shares, rows, _ = ctx.saved_tensors
        # a rank knows what its own rows cost; every shard needs it of all rows
        each = total(gradients[0].contiguous().clone(), ctx.shard) * ctx.scale
        return shares * each[:, None], (own_shares - 1) * each[rows], None, None, None, None


def softmax_loss(
    cosine: Tensor,
    pushed: Tensor,
    places: tuple[Tensor, Tensor],
    *,
    limit: float,
    scale: float,
    shard: ClassShard,
) -> Tensor:
    """Cross-entropy over the scaled cosines to the classes of all ranks.

    Args:
        cosine: (N, n) of the same N rows on every rank to the n classes that are here; clamped to
            +-limit.
        pushed: (P,) what stands instead at `places`.
        places: (P,) rows and (P,) columns of those cosines whose own class is here; each row has
            one such place on exactly one rank.
        limit: see `cosine`.
        scale: s > 0.
        shard: which of the classes are here.
    Returns:
        (N,) losses, the same on every rank. Their gradients are added over the ranks, so a rank
        takes the mean of its own rows.
    """
    return _Softmax.apply(cosine, pushed, places, limit, scale, shard)
