"""Average linkage over a graph of neighbours, the embeddings' sums on disk.

Average linkage (UPGMA) takes for the likeness of two clusters the mean cosine of their pairs,
which is the product of the means of their unit embeddings: sums and sizes are all that it needs.
Two clusters that are each other's nearest can be merged in any order (de Rham 1980; Murtagh, A
Survey of Recent Advances in Hierarchical Clustering Algorithms, 1983), so all such pairs are
merged at once, as in Sumengen et al., Scaling Hierarchical Agglomerative Clustering to
Billion-sized Datasets (arXiv 2105.11653). A mean at a threshold needs a pair at it: where every
pair at the threshold is an edge, the result is that of average linkage on all pairs, cut there.
"""

import tempfile
from pathlib import Path

import numpy as np

from mfr_kit.clustering.graph import Edges

PAIRS = 8192  # of clusters compared at a time


def merge(
    rows: np.ndarray, edges: Edges, threshold: float, folder: Path | None = None
) -> np.ndarray:
    """Merge faces into clusters until no two that an edge connects have a mean cosine at the
    threshold.

    Args:
        rows: (N, D) float32, unit length; may be a memory map.
        edges: of rows, each pair once.
        threshold: of the mean cosine.
        folder: on the disk that takes sums of the rows that have an edge; None for the system's
            temporary one.
    Returns:
        (N,) int32 clusters 0 .. C-1, numbered in the order of their first rows.
    """
    edges = edges.at_least(threshold)
    linked = np.zeros(len(rows), bool)
    linked[edges.first] = linked[edges.second] = True
    present = np.flatnonzero(linked).astype(np.int32)
    place = np.cumsum(linked, dtype=np.int32) - 1
    sums = _Sums(rows, present, folder)
    edges = Edges(place[edges.first], place[edges.second], edges.cosines)
    parent = np.arange(len(present), dtype=np.int32)
    while len(edges.first):
        low, high = _mutual(edges, len(present))
        sums.add(low, high)
        parent[high] = low
        edges = _contract(edges, low, high, sums, threshold)
    root = np.arange(len(rows), dtype=np.int32)
    root[present] = present[_roots(parent)]
    return np.unique(root, return_inverse=True)[1].astype(np.int32)


class _Sums:
    """The sum of each cluster's embeddings, and its size."""

    def __init__(self, rows: np.ndarray, present: np.ndarray, folder: Path | None) -> None:
        self._sizes = np.ones(len(present), np.float32)
        if not len(present):
            return
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  the memory map keeps it
        for start in range(0, len(present), PAIRS):
            file.write(np.ascontiguousarray(rows[present[start : start + PAIRS]]).data)
        file.flush()
        self._rows = np.memmap(file, np.float32, "r+", shape=(len(present), rows.shape[1]))

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, low: np.ndarray, high: np.ndarray) -> None:
        """Add the clusters `high` to `low`, each of them one time."""
        for start in range(0, len(low), PAIRS):
            part = slice(start, start + PAIRS)
            self._rows[low[part]] += self._rows[high[part]]
        self._sizes[low] += self._sizes[high]

    def mean_cosines(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(M,) float32, of pairs of clusters."""
        found = np.empty(len(first), np.float32)
        for start in range(0, len(first), PAIRS):
            part = slice(start, start + PAIRS)
            left, right = self._rows[first[part]], self._rows[second[part]]
            found[part] = np.einsum("nd,nd->n", left, right)
        return found / (self._sizes[first] * self._sizes[second])


def _mutual(edges: Edges, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the pairs that are each other's nearest, the lower first; of several as near, the one
    with the lowest number is the nearest, so that there always is such a pair.
    """
    first, second, cosines = edges
    best = np.full(count, -np.inf, np.float32)
    np.maximum.at(best, first, cosines)
    np.maximum.at(best, second, cosines)
    nearest = np.full(count, count, np.int32)
    for own, other in ((first, second), (second, first)):
        at_best = cosines == best[own]
        np.minimum.at(nearest, own[at_best], other[at_best])
    low = np.flatnonzero(nearest < count)
    low = low[(low < nearest[low]) & (nearest[nearest[low]] == low)]
    return low.astype(np.int32), nearest[low]


def _contract(
    edges: Edges, low: np.ndarray, high: np.ndarray, sums: _Sums, threshold: float
) -> Edges:
    """Let the edges of `high` be those of `low`, and compare anew what was merged."""
    count = len(sums)
    into = np.arange(count, dtype=np.int32)
    into[high] = low
    merged = np.zeros(count, bool)
    merged[low] = True
    first, second = into[edges.first], into[edges.second]
    touched = merged[first] | merged[second]
    key = np.minimum(first, second)[touched].astype(np.int64) * count
    key += np.maximum(first, second)[touched]
    key = np.unique(key)
    left, right = (key // count).astype(np.int32), (key % count).astype(np.int32)
    left, right = left[left != right], right[left != right]
    cosines = sums.mean_cosines(left, right)
    # a merged cluster is no nearer to another than its parts were: what is too far stays so
    near = cosines >= threshold
    new = Edges(left[near], right[near], cosines[near])
    old = Edges(first[~touched], second[~touched], edges.cosines[~touched])
    return Edges(*(np.concatenate(pair) for pair in zip(old, new, strict=True)))


def _roots(parent: np.ndarray) -> np.ndarray:
    """Follow every row to the lowest of its cluster."""
    while True:
        further = parent[parent]
        if np.array_equal(further, parent):
            return parent
        parent = further
