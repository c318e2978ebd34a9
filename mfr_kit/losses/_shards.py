"""What the ranks tell each other where the class axis is divided among them.

DTensor's `loss_parallel` has no place for a margin on one's own class, for rows that are drawn anew
each step, or for shards of unequal length, and ends in a plain cross-entropy; so this is our own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

Finder = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


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


def rows_of_all(numbers: Tensor, rows: Tensor, shard: ClassShard) -> Tensor:
    """Look rows of any classes up, wherever they lie; outside of autograd.

    Args:
        numbers: (B,) classes that this rank asks for; every rank asks for as many.
        rows: (n, D) of this rank's classes.
        shard: which these are.
    Returns:
        (B, D).
    """
    if shard.world == 1:
        return rows[numbers]
    asked = gather_rows(numbers, shard)
    here = ((asked >= shard.start) & (asked < shard.stop)).nonzero()[:, 0]
    found = rows.new_zeros(len(asked), rows.shape[1])
    found[here] = rows[asked[here] - shard.start]
    return own_rows(total(found, shard), shard)


def nearest_of_all(points: Tensor, taken: Tensor, find: Finder, shard: ClassShard) -> Tensor:
    """Find each point's nearest classes over all ranks: each finds them among its own, and whoever
    asked merges; outside of autograd.

    Args:
        points: (B, D), as many on every rank.
        taken: (B, T) classes that are not to be found.
        find: (points, taken) -> ((n, K) similarities, (n, K) classes) among this rank's, filled up
            with -inf where there are fewer.
        shard: which these are.
    Returns:
        (B, K) int64 classes, nearest first.
    """
    if shard.world == 1:
        return find(points, taken)[1]
    values, numbers = find(gather_rows(points, shard), gather_rows(taken, shard))
    values, numbers = (_to_who_asked(part, shard) for part in (values, numbers))
    return numbers.gather(1, values.topk(values.shape[1] // shard.world, dim=1).indices)


def _to_who_asked(found: Tensor, shard: ClassShard) -> Tensor:
    """(world * B, K) of all ranks' points -> (B, world * K) of all ranks for this rank's points."""
    back = torch.empty_like(found)
    dist.all_to_all_single(back, found.contiguous())
    return torch.cat(back.chunk(shard.world), dim=1)


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
    """Cross-entropy of each row over classes of which this rank holds some; one matrix of logits
    is made, and overwritten up to the shares that the gradients follow from.
    """

    @staticmethod
    def forward(
        ctx: Any,
        points: Tensor,
        centres: Tensor,
        push: Callable[[Tensor], Tensor],
        places: tuple[Tensor, Tensor],
        limit: float,
        scale: float,
        shard: ClassShard,
    ) -> Tensor:
        logits = points @ centres.T
        clamped = logits > limit
        clamped |= logits < -limit
        logits.clamp_(-limit, limit)
        logits[places], slopes = _slopes_of(push, logits[places])
        logits.mul_(scale)
        count, columns = logits.shape
        highest = logits.amax(1) if columns else logits.new_full((count,), -torch.inf)
        highest = total(highest, shard, dist.ReduceOp.MAX)
        logits.sub_(highest[:, None])
        own = logits.new_zeros(count)
        own[places[0]] = logits[places]
        shares = logits.exp_()
        exponentials, own = total(torch.stack([shares.sum(1), own]), shard)
        shares.div_(exponentials[:, None])
        # by what a loss changes with each cosine, but for the scale
        shares[places] = (shares[places] - 1) * slopes
        shares.masked_fill_(clamped, 0.0)
        ctx.shard, ctx.scale = shard, scale
        ctx.save_for_backward(shares, points, centres)
        return exponentials.log() - own

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        shares, points, centres = ctx.saved_tensors
        # a rank knows what its own rows cost; every shard needs it of all rows
        each = total(gradients[0].contiguous().clone(), ctx.shard)[:, None] * ctx.scale
        of_points, of_centres = (shares @ centres) * each, shares.T @ (points * each)
        return of_points, of_centres, None, None, None, None, None


def _slopes_of(push: Callable[[Tensor], Tensor], own: Tensor) -> tuple[Tensor, Tensor]:
    """Push cosines, each by itself, and return their derivatives too: autograd would take another
    matrix of all logits for them.
    """
    with torch.enable_grad():
        own = own.detach().requires_grad_()
        pushed = push(own)
        (slopes,) = torch.autograd.grad(pushed.sum(), own)
    return pushed.detach(), slopes


def softmax_loss(
    points: Tensor,
    centres: Tensor,
    push: Callable[[Tensor], Tensor],
    places: tuple[Tensor, Tensor],
    *,
    limit: float,
    scale: float,
    shard: ClassShard,
) -> Tensor:
    """Cross-entropy over the scaled cosines to the classes of all ranks.

    Args:
        points: (N, D) unit rows, the same on every rank.
        centres: (n, D) unit rows of the classes that are here.
        push: makes of the (P,) clamped cosines at `places`, of each by itself, what stands there
            instead.
        places: (P,) rows and (P,) columns of those cosines whose own class is here; each row has
            one such place on exactly one rank.
        limit: cosines are clamped to +-limit, where they have no gradient.
        scale: s > 0.
        shard: which of the classes are here.
    Returns:
        (N,) losses, the same on every rank. Their gradients are added over the ranks, so a rank
        takes the mean of its own rows.
    """
    return _Softmax.apply(points, centres, push, places, limit, scale, shard)


class _Divergence(torch.autograd.Function):
    """KL divergence of two classifications of each row over classes of which some are here."""

    @staticmethod
    def forward(
        ctx: Any, student: Tensor, teacher: Tensor, centres: Tensor, shard: ClassShard
    ) -> Tensor:
        own, wanted = student @ centres.T, teacher @ centres.T
        empty = own.new_full((len(own),), -torch.inf)
        highest = torch.stack([x.amax(1) if len(centres) else empty for x in (own, wanted)])
        highest = total(highest, shard, dist.ReduceOp.MAX)
        own.sub_(highest[0][:, None])
        wanted.sub_(highest[1][:, None])
        difference = wanted - own
        own.exp_()
        wanted.exp_()
        products = difference.mul_(wanted).sum(1)
        sums = total(torch.stack([own.sum(1), wanted.sum(1), products]), shard)
        # what a loss changes with each of the student's logits
        ctx.save_for_backward(
            own.div_(sums[0][:, None]).sub_(wanted.div_(sums[1][:, None])), centres
        )
        ctx.shard = shard
        return sums[2] / sums[1] - sums[1].log() + sums[0].log()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        slopes, centres = ctx.saved_tensors
        each = total(gradients[0].contiguous().clone(), ctx.shard)[:, None]
        return (slopes @ centres) * each, None, None, None


def divergence(
    student: Tensor, teacher: Tensor, centres: Tensor, temperature: float, shard: ClassShard
) -> Tensor:
    """T^2 KL(softmax(z_t / T), softmax(z_s / T)), the mean over this rank's rows, over the classes
    of all ranks.

    Args:
        student: (B, D) of this rank; z_s are its products with the centres.
        teacher: (B, D), likewise; receives no gradient.
        centres: (n, D) of the classes that are here; receive no gradient.
        temperature: T > 0.
        shard: which of the classes are here.
    """
    own = gather_rows(student / temperature, shard)
    wanted = gather_rows(teacher.detach() / temperature, shard)
    losses = _Divergence.apply(own, wanted, centres, shard)
    return temperature**2 * own_rows(losses, shard).mean()
