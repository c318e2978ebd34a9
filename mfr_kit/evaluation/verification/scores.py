"""One sweep over millions to billions of comparisons that leaves what a full sort would tell about
the thresholds, without the sort.

The sweep counts the impostors in thousands of equal bins and keeps those of a few narrow bands,
where a small sample expects the thresholds. The bins say exactly how many scores lie above a band,
the band says the rest; a threshold that falls outside every band costs a second sweep. So all
results equal a full sort of the same float32 scores, ties included. Memory: the bins, the distinct
scores of the bands, and a few bytes a genuine comparison.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.evaluation.verification import device_sweep
from mfr_kit.evaluation.verification.comparisons import Block, Pairs
from mfr_kit.evaluation.verification.device_sweep import Swept
from mfr_kit.evaluation.verification.score_bins import COARSE, FINE, TOP, ScoreBins
from mfr_kit.seeding import rng_for

if TYPE_CHECKING:
    import torch

WHOLE = 2_000_000  # up to so many impostors every score is kept, and nothing is guessed
BUFFER = 8_000_000  # scores kept before equal ones are merged


@dataclass(frozen=True)
class Scores:
    """What the sweep leaves: enough to place any of the asked thresholds exactly.

    Attributes:
        genuine: (n,) float32, ascending; found faces only.
        genuine_rows: (n,) int, whose comparison each one is: an index into `pairs.probe`.
        bins: of the histogram.
        above: (bins.count + 1,) int64, impostor scores in bin b or above.
        kept: ascending distinct impostor scores of the bands, and how often each occurs.
        bands: (m, 2) int, the kept ranges of bins [from, to).
    """

    pairs: Pairs
    genuine: np.ndarray
    genuine_rows: np.ndarray
    bins: ScoreBins
    above: np.ndarray
    kept: tuple[np.ndarray, np.ndarray]
    bands: np.ndarray

    @functools.cached_property
    def genuine_people(self) -> np.ndarray:
        """(n,) int, the person of each genuine score: an index into `pairs.people`."""
        return self.pairs.probe_people[self.genuine_rows]

    def impostors_from(self, threshold: np.float32) -> int:
        """Count the impostor scores >= threshold, which must lie in a band or on the edge of a
        bin.
        """
        edges = self.bins.edges()
        number = int(self.bins.of(np.array([threshold], np.float32))[0])
        if threshold <= edges[number]:
            return int(self.above[number])
        if not _covered(self.bands, number):
            raise RuntimeError(f"the scores around {threshold} were not kept")
        values, numbers = self.kept
        inside = slice(*np.searchsorted(values, [threshold, edges[number + 1]]))
        return int(self.above[number + 1] + numbers[inside].sum())

    def genuine_from(self, threshold: np.float32 | np.ndarray) -> np.ndarray:
        """Count the genuine scores >= threshold."""
        return len(self.genuine) - np.searchsorted(self.genuine, threshold, "left")

    def far(self, threshold: np.float32) -> float:
        return self.impostors_from(threshold) / self.pairs.count.impostor

    def tar(self, threshold: np.float32) -> float:
        return float(self.genuine_from(threshold)) / self.pairs.count.genuine


def allowed(far: float, impostors: int) -> int:
    """Return how many false accepts FAR <= far allows among so many impostor comparisons: floor(far
    * impostors), free of rounding.

    Raises:
        KitError: not in (0, 1), or so small that not even one false accept is allowed; the message
            names the smallest FAR supported.
    """
    if not 0 < far < 1:
        raise KitError(f"FAR {far:g} is not between 0 and 1")
    number = int(Fraction(repr(float(far))) * impostors)
    if number < 1:
        smallest = (
            f"the smallest FAR it supports is {1 / impostors:.3g}"
            if impostors
            else "it supports no FAR"
        )
        raise KitError(
            f"FAR {far:g} cannot be measured on {impostors:,} impostor comparisons: {smallest}"
        )
    return number


def allowed_at_most(far: float, impostors: int) -> int:
    """Like `allowed`, for a resample: 0 where it has fewer comparisons than 1 / FAR."""
    try:
        return allowed(far, impostors)
    except KitError:
        return 0


def score(pairs: Pairs, fars: Sequence[float], thresholds: Sequence[float] = ()) -> Scores:
    """Sweep all comparisons, so that `at_far` for `fars`, `equal_error` and the rates at
    `thresholds` can be answered exactly.

    Raises:
        KitError: there is no genuine or no impostor comparison between faces that were found.
    """
    count = pairs.count
    if not (count.genuine_found and count.impostor_found):
        raise KitError(
            f"nothing to measure: {count.genuine_found:,} genuine and {count.impostor_found:,} "
            "impostor comparisons between found faces"
        )
    ranks = [rank for rank in (_rank(far, count.impostor) for far in fars) if rank is not None]
    bins = FINE if _device(pairs) is None else COARSE
    scores = _sweep(pairs, bins, _guess(pairs, ranks, bins))
    if scores.above[1] != count.impostor_found or len(scores.genuine) != count.genuine_found:
        raise RuntimeError(
            f"counted {scores.above[1]} impostors and {len(scores.genuine)} genuine comparisons, "
            f"expected {count}"
        )
    asked = bins.of(np.array(thresholds, np.float32)).tolist()
    needed = sorted({*(bin_holding(scores, rank) for rank in ranks), crossing_bin(scores), *asked})
    if all(_covered(scores.bands, number) for number in needed):
        return scores
    return _sweep(pairs, bins, np.array([[number, number + 1] for number in needed]))


def bin_holding(scores: Scores, rank: int) -> int:
    """Return the bin of the impostor score with `rank` scores above it or equal before it (0:
    the highest), or 0 when fewer were found.
    """
    return int(np.searchsorted(-scores.above, -rank, "left")) - 1 if rank < scores.above[1] else 0


def crossing_bin(scores: Scores) -> int:
    """Return the highest bin at whose lower edge FAR >= FRR; 0 where even accepting everything
    leaves FAR below FRR.
    """
    count = scores.pairs.count
    # products may pass 2^63
    false, true = (
        numbers.astype(object)
        for numbers in (scores.above, scores.genuine_from(scores.bins.edges()))
    )
    ahead = np.flatnonzero(false * count.genuine >= (count.genuine - true) * count.impostor)
    return int(ahead[-1]) if len(ahead) else 0


def _rank(far: float, impostors: int) -> int | None:
    try:
        return allowed(far, impostors)
    except KitError:
        return None


def _covered(bands: np.ndarray, number: int) -> bool:
    return number == 0 or bool(((bands[:, 0] <= number) & (number < bands[:, 1])).any())


def _device(pairs: Pairs) -> "torch.device | None":
    return getattr(pairs, "device", None)  # a pair list is looked up, not scored


def _sweep(pairs: Pairs, bins: ScoreBins, bands: np.ndarray) -> Scores:
    if (device := _device(pairs)) is not None:
        limits = [(bins.edges()[low], bins.edges()[high]) for low, high in bands]
        found = device_sweep.sweep(pairs, limits, bins, device)
        return _collect(pairs, bins, bands, found)
    counts, genuine, rows = np.zeros(bins.count, np.int64), [], []
    kept = _Kept(bins, bands)
    for block in pairs.blocks():
        counts += histogram(bins.of(block.impostors), bins.count)
        kept.add(block)
        genuine.append(block.genuine)
        rows.append(block.rows)
    swept = Swept(counts, np.concatenate(genuine), np.concatenate(rows), kept.merged())
    return _collect(pairs, bins, bands, swept)


def _collect(pairs: Pairs, bins: ScoreBins, bands: np.ndarray, swept: Swept) -> Scores:
    counts = swept.counts.copy()
    counts[0] = 0
    above = np.append(counts[::-1].cumsum()[::-1], 0)
    order = np.argsort(swept.genuine, kind="stable")
    return Scores(pairs, swept.genuine[order], swept.rows[order], bins, above, swept.kept, bands)


def histogram(numbers: np.ndarray, count: int) -> np.ndarray:
    """Count uint16 values below `count`. OpenCV does it five times as fast as np.bincount; its
    float32 counts are exact below 2^24 scores a block.
    """
    import cv2

    return cv2.calcHist([numbers], [0], None, [count], [0, count]).ravel().astype(np.int64)


class _Kept:
    """The impostor scores inside the bands: a buffer, merged into distinct values and their
    numbers whenever it is full.
    """

    def __init__(self, bins: ScoreBins, bands: np.ndarray) -> None:
        self._limits = [(bins.edges()[low], bins.edges()[high]) for low, high in bands]
        self._buffer: list[np.ndarray] = []
        self._merged = (np.empty(0, np.float32), np.empty(0, np.int64))

    def add(self, block: Block) -> None:
        if not self._limits:
            return
        some = block.impostors[block.impostors >= self._limits[0][0]]
        self._buffer += [some[(some >= low) & (some < high)] for low, high in self._limits]
        if sum(map(len, self._buffer)) > BUFFER:
            self._merged = self.merged()

    def merged(self) -> tuple[np.ndarray, np.ndarray]:
        fresh, numbers = np.unique(
            np.concatenate([np.empty(0, np.float32), *self._buffer]), return_counts=True
        )
        self._buffer = []
        values, where = np.unique(np.concatenate([self._merged[0], fresh]), return_inverse=True)
        total = np.zeros(len(values), np.int64)
        np.add.at(total, where, np.concatenate([self._merged[1], numbers]))
        return values, total


def _guess(pairs: Pairs, ranks: list[int], bins: ScoreBins) -> np.ndarray:
    """Say from a sample in which bins the thresholds will lie; disjoint ascending bands. A wrong
    guess costs time, never exactness.
    """
    impostor = pairs.count.impostor
    if impostor <= WHOLE:
        return np.array([[1, bins.count]])
    impostors, genuine = pairs.sample(rng_for(0))
    if not (len(impostors) and len(genuine)):
        return np.empty((0, 2), int)
    impostors.sort()
    limits = []
    for rank in ranks:
        expected = rank / impostor * len(impostors)
        high = TOP if expected < 500 else impostors[-int(0.75 * expected)]
        limits.append((impostors[-min(len(impostors), int(max(1.3 * expected, 800)))], high))
    some = impostors[:: len(impostors) // 20_000 + 1]
    false = 1 - np.arange(len(some)) / len(some)
    missed = np.searchsorted(np.sort(genuine), some) / len(genuine)
    equal = some[min(int(np.searchsorted(missed - false, 0.0)), len(some) - 1)]
    limits.append((equal - np.float32(0.005), equal + np.float32(0.005)))
    return _disjoint(
        [
            (int(low), int(high) + 1)
            for low, high in bins.of(np.clip(np.array(limits, np.float32), -TOP, TOP))
        ]
    )


def _disjoint(bands: list[tuple[int, int]]) -> np.ndarray:
    merged: list[list[int]] = []
    for low, high in sorted(bands):
        if merged and low <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], high)
        else:
            merged.append([low, high])
    return np.array(merged)
