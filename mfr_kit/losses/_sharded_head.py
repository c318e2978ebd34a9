"""A classification head of which each rank holds the rows of some classes."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfr_kit.losses._batch import alone, unit
from mfr_kit.losses._margin import LIMIT, MarginHead, push, spread_of
from mfr_kit.losses._shards import ClassShard, gather_rows, own_rows, softmax_loss
from mfr_kit.seeding import uniform

NEGATIVE_STREAM = 17
BLOCK = 1 << 16  # rows of the initial weights that are drawn at a time; a multiple of 16, see below


class ShardedHead(nn.Module):
    """What a `MarginHead` computes, with its class axis divided over the ranks: each gathers the
    embeddings of all, and they share the maximum and the sum of the softmax.

    Args:
        whole: the head as it would be; on the meta device it takes no memory.
        shard: which of its classes are here.
        negatives: share in (0, 1] of the classes that a step looks at beside those of its faces;
            each is drawn by a hash of (seed, step, class), so the draw is the same whatever the
            number of ranks, and after a resume.
        seed: of the run.
    Source: Partial FC (arXiv 2203.15565), but for the draw: it takes a fixed number a rank.
    """

    norm_mean: Tensor
    norm_std: Tensor

    def __init__(
        self, whole: MarginHead, shard: ClassShard, *, negatives: float = 1.0, seed: int = 0
    ):
        super().__init__()
        self.weight = nn.Parameter(_draw_weights(whole.weight.shape[1], shard))
        self.kind, self.scale, self.margin = whole.kind, whole.scale, whole.margin
        self.shard, self.negatives, self.seed = shard, negatives, seed
        if self.kind == "adaface":
            self.register_buffer("norm_mean", torch.tensor(20.0))
            self.register_buffer("norm_std", torch.tensor(100.0))
        self._candidates = torch.empty(0, dtype=torch.bool)

    def begin(self, step: int) -> None:
        """Draw the negatives of a step."""
        if self.negatives < 1:
            self._candidates = self.draw(step).to(self.weight.device)

    def draw(self, step: int) -> Tensor:
        """Return for each class that is here whether it is a negative of a step."""
        classes = np.arange(self.shard.start, self.shard.stop)
        seeds = (self.seed, NEGATIVE_STREAM)
        draws = uniform(seeds, np.full(len(classes), step), classes, 1)[:, 0]
        return torch.from_numpy(draws < self.negatives)

    def average_gradient(self) -> None:
        """Make of the gradient of `weight` that of the mean over the ranks, in place."""
        if self.shard.world > 1 and self.weight.grad is not None:
            self.weight.grad.div_(self.shard.world)

    def forward(
        self,
        student: Tensor,
        labels: Tensor,
        mean_over_ranks: Callable[[Tensor], Tensor] = alone,
    ) -> Tensor:
        """(B, D) raw embeddings and (B,) labels of this rank -> scalar cross-entropy of its faces.

        The gradient of `weight` is that of the sum over the ranks, complete on each rank, and
        sparse where negatives are drawn.
        """
        spread = spread_of(self, student, mean_over_ranks)
        with torch.autocast(student.device.type, enabled=False):
            dtype = torch.promote_types(student.dtype, torch.float32)
            points = gather_rows(student.to(dtype), self.shard)
            centres, places = self._look_up(gather_rows(labels, self.shard))
            own_points = points.detach()[places[0]]  # whose norms may set the margin

            def push_own(own: Tensor) -> Tensor:
                return push(own, own_points, self.kind, self.margin, spread)

            losses = softmax_loss(
                unit(points),
                unit(centres.to(dtype)),
                push_own,
                places,
                limit=LIMIT,
                scale=self.scale,
                shard=self.shard,
            )
            return own_rows(losses, self.shard).mean()

    def _look_up(self, labels: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the centres that the step looks at, and row and column of each face whose own
        centre is among them.
        """
        columns = labels - self.shard.start
        rows = ((columns >= 0) & (columns < len(self.shard))).nonzero()[:, 0]
        columns = columns[rows]
        if self.negatives < 1:
            kept = self._candidates.clone()
            kept[columns] = True
            kept = kept.nonzero()[:, 0]
            columns = torch.searchsorted(kept, columns)
            centres = F.embedding(kept, self.weight, sparse=True)
        else:
            centres = self.weight
        return centres, (rows, columns)


def _draw_weights(size: int, shard: ClassShard) -> Tensor:
    """Draw what a whole head begins with and keep this rank's rows. torch draws 16 numbers at a
    time, so blocks of rows continue the stream of one draw.
    """
    kept = torch.empty(len(shard), size)
    ends = [*range(BLOCK, shard.classes - 15, BLOCK), shard.classes]
    at = 0
    for end in ends:
        block = torch.randn(end - at, size) * 0.01
        low, high = max(at, shard.start), min(end, shard.stop)
        if low < high:
            kept[low - shard.start : high - shard.start] = block[low - at : high - at]
        at = end
    return kept
