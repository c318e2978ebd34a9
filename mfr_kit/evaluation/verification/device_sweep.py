"""The sweep of scores.py on a device: products, bins and bands there, a few numbers come back."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from mfr_kit.evaluation.verification.comparisons import SKIP, Pairs
from mfr_kit.evaluation.verification.score_bins import COARSE, ScoreBins
from mfr_kit.models.placement import set_tf32

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SIDE = 16384  # rows and columns of a block on CUDA: 1 GiB of scores
SIDE_ON_CPU = 2048


@dataclass(frozen=True)
class Swept:
    """What a sweep leaves, as NumPy arrays.

    Attributes:
        counts: (bins,) int64 impostor scores a bin.
        genuine: (n,) float32, in no order.
        rows: (n,) whose comparison each one is, an index into `pairs.probe`.
        kept: distinct impostor scores inside the bands, ascending, and how often each occurs.
    """

    counts: np.ndarray
    genuine: np.ndarray
    rows: np.ndarray
    kept: tuple[np.ndarray, np.ndarray]


def sweep(
    pairs: Pairs,
    limits: list[tuple[np.float32, np.float32]],
    bins: ScoreBins,
    device: "torch.device",
) -> Swept:
    """Score every comparison once on a device, in float32 without TF32.

    Args:
        pairs: the comparisons.
        limits: ascending bands [low, high) of scores to keep.
        bins: of the histogram.
        device: where.
    """
    import torch

    set_tf32(False)
    counts = torch.zeros(bins.count, dtype=torch.int64, device=device)
    genuine, rows, kept = [], [], []
    with torch.inference_mode():
        for scores, top, left in _blocks(pairs, device):
            cosines, whose = _take_genuine(pairs, scores, top, left)
            genuine.append(cosines)
            rows.append(whose)
            kept += _inside(scores.view(-1), limits)
            counts += _histogram(scores, bins)
        values, times = torch.unique(
            torch.cat([torch.empty(0, device=device), *kept]), return_counts=True
        )
    return Swept(
        counts.cpu().numpy(),
        torch.cat(genuine).cpu().numpy(),
        np.concatenate(rows),
        (values.cpu().numpy(), times.cpu().numpy()),
    )


def time_blocks(pairs: Pairs, blocks: int, device: "torch.device") -> tuple[int, float]:
    """Return how many scores so many blocks hold, and the seconds that a sweep takes for them."""
    import torch

    set_tf32(False)
    made, start = 0, 0.0
    with torch.inference_mode():
        for number, (scores, top, left) in enumerate(islice(_blocks(pairs, device), blocks + 1)):
            _take_genuine(pairs, scores, top, left)
            _histogram(scores, COARSE).cpu()
            if number == 0:  # the device warms up on the first
                start = perf_counter()
                continue
            made += scores.numel()
    return made, perf_counter() - start


def _histogram(scores: "Tensor", bins: ScoreBins) -> "Tensor":
    """Count a block's scores by the very operations of `ScoreBins.of`, so that equal scores fall
    into equal bins; the block is lost.
    """
    import torch

    numbers = scores.view(-1).sub_(float(SKIP)).mul_(float(bins.scale)).to(torch.int16)
    return torch.bincount(numbers, minlength=bins.count)


def _blocks(pairs: Pairs, device: "torch.device") -> "Iterator[tuple[Tensor, int, int]]":
    import torch

    probe, gallery = (
        torch.from_numpy(np.ascontiguousarray(side.embeddings, np.float32)).to(device)
        for side in (pairs.probe, pairs.gallery)
    )
    side = SIDE if device.type == "cuda" else SIDE_ON_CPU
    buffer = torch.empty(min(side, len(probe)) * min(side, len(gallery)), device=device)
    for top in range(0, len(probe), side):
        some = probe[top : top + side]
        for left in range(top if pairs.symmetric else 0, len(gallery), side):
            others = gallery[left : left + side]
            scores = buffer[: len(some) * len(others)].view(len(some), len(others))
            torch.mm(some, others.T, out=scores)
            yield scores, top, left


def _take_genuine(
    pairs: Pairs, scores: "Tensor", top: int, left: int
) -> "tuple[Tensor, np.ndarray]":
    """Take the genuine scores out of a block, and leave SKIP in what is no impostor's."""
    import torch

    height, width = scores.shape
    if pairs.symmetric and left < top + height:
        number = torch.arange(top, top + height, device=scores.device)
        other = torch.arange(left, left + width, device=scores.device)
        scores.masked_fill_(other[None, :] <= number[:, None], float(SKIP))
    rows, columns, fair = pairs.genuine_in(top, left, height, width)
    at = torch.from_numpy((rows - top) * width + columns - left).to(scores.device)
    flat = scores.view(-1)
    found = flat.index_select(0, at)
    flat.index_fill_(0, at, float(SKIP))
    return found[torch.from_numpy(fair).to(scores.device)], rows[fair]


def _inside(scores: "Tensor", limits: list[tuple[np.float32, np.float32]]) -> "list[Tensor]":
    import torch

    if not limits:
        return []
    some = torch.masked_select(scores, scores >= float(limits[0][0]))
    return [some[(some >= float(low)) & (some < float(high))] for low, high in limits]
