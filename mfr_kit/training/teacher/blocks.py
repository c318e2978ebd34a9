"""The highest of the similarities between many rows and many columns, which are never held all."""

import torch
from torch import Tensor

BLOCK_VALUES = 1 << 25  # similarities held at a time: 128 MiB
BLOCK_VALUES_ON_CUDA = 1 << 28  # 1 GiB, since a device is idle where products are small
GROUP = 16  # columns that are first compared by their maximum


def rows_of_a_block(prototypes: Tensor) -> int:
    """Say of how many rows the similarities to all prototypes are held at a time."""
    values = BLOCK_VALUES_ON_CUDA if prototypes.is_cuda else BLOCK_VALUES
    return max(1, values // len(prototypes))


def largest(values: Tensor, count: int) -> Tensor:
    """Return the columns of the `count` largest values of each row, largest first: what `topk`
    returns, several times faster for wide rows.

    Columns are put into groups; the `count` groups with the highest maxima hold the `count` largest
    values, since each of these groups has at least one value as large as anything in the others.
    """
    rows, width = values.shape
    groups = width // GROUP
    if groups <= count:
        return values.topk(count, dim=1).indices
    ends = groups * GROUP
    best = (
        values[:, :ends]
        .unflatten(1, (GROUP, groups))
        .amax(1)
        .topk(count, dim=1, sorted=False)
        .indices
    )
    members = best.unsqueeze(1) + groups * torch.arange(GROUP, device=values.device).view(
        1, GROUP, 1
    )
    rest = torch.arange(ends, width, device=values.device).expand(rows, -1)
    columns = torch.cat([members.flatten(1), rest], dim=1)
    return columns.gather(1, values.gather(1, columns).topk(count, dim=1).indices)


def nearest_untaken(
    points: Tensor, prototypes: Tensor, taken: Tensor, count: int, start: int = 0
) -> tuple[Tensor, Tensor]:
    """Find each point's nearest prototypes, but those that are taken, in row blocks: the
    similarities of a batch to two million people would be 8 GiB.

    Args:
        points: (n, D) unit rows.
        prototypes: (c, D) unit rows, of the identities start .. start + c - 1.
        taken: (n, T) identities, of whichever number.
        count: K.
        start: see `prototypes`.
    Returns:
        ((n, K) similarities, (n, K) int64 identities), highest first; -inf where there are fewer.
    """
    here = len(prototypes)
    values = points.new_full((len(points), count), -torch.inf)
    numbers = torch.zeros(len(points), count, dtype=torch.int64, device=points.device)
    step, kept = min(len(points), rows_of_a_block(prototypes)), min(count, here)
    block = torch.empty(step, here, device=points.device)
    for first in range(0, len(points), step):
        part = slice(first, min(first + step, len(points)))
        similarity = torch.mm(points[part], prototypes.T, out=block[: part.stop - first])
        own = taken[part] - start
        rows, columns = ((own >= 0) & (own < here)).nonzero(as_tuple=True)
        similarity[rows, own[rows, columns]] = -torch.inf
        found = largest(similarity, kept)
        values[part, :kept] = similarity.gather(1, found)
        numbers[part, :kept] = found + start
    return values, numbers
