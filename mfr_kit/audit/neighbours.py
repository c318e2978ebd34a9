"""Nearest neighbours among unit embeddings, block by block: memory grows with N, never with N x
N.
"""

import itertools
from collections.abc import Iterator

import numpy as np

ROWS, COLUMNS = 1024, 8192


def nearest(queries: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find each query's nearest row of another set.

    Returns:
        (N,) int64 rows and (N,) float32 cosines.
    """
    return _nearest(queries, others, None)


def nearest_stranger(embeddings: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find each row's nearest row of another person; -1 and -inf where there is no other person."""
    return _nearest(embeddings, embeddings, labels)


def _nearest(
    queries: np.ndarray, others: np.ndarray, labels: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    rows, best = np.full(len(queries), -1, np.int64), np.full(len(queries), -np.inf, np.float32)
    for top in range(0, len(queries), ROWS):
        for left in range(0, len(others), COLUMNS):
            cosines = queries[top : top + ROWS] @ others[left : left + COLUMNS].T
            if labels is not None:
                cosines[
                    labels[top : top + ROWS, None] == labels[None, left : left + COLUMNS]
                ] = -np.inf
            column = cosines.argmax(1)
            value = cosines[np.arange(len(cosines)), column]
            better = np.flatnonzero(value > best[top : top + ROWS])
            rows[top + better], best[top + better] = left + column[better], value[better]
    return rows, best


def likeness_to_own(embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) mean cosine to the person's other photographs; +inf for a person's only one. By sums:
    a person may have any number of them.
    """
    count = np.bincount(labels)
    order = np.argsort(labels, kind="stable")
    present = np.flatnonzero(count)
    starts = np.concatenate([[0], np.cumsum(count[present])[:-1]])
    sums = np.zeros((len(count), embeddings.shape[1]), np.float32)
    sums[present] = np.add.reduceat(embeddings[order], starts, axis=0)
    own = np.einsum("nd,nd->n", embeddings, sums[labels] - embeddings)
    others = count[labels] - 1
    return np.where(others > 0, own / np.maximum(others, 1), np.inf)


def twins_within(
    embeddings: np.ndarray, labels: np.ndarray, threshold: float
) -> Iterator[tuple[int, int, float]]:
    """Yield (earlier row, later row, cosine) for each row that is at least `threshold` like an
    earlier one of its person.
    """
    order = np.argsort(labels, kind="stable")
    edges = np.flatnonzero(np.diff(labels[order], prepend=-1, append=-1))
    for start, stop in itertools.pairwise(edges):
        rows = order[start:stop]
        for top in range(0, len(rows), ROWS):
            block = rows[top : top + ROWS]
            cosines = embeddings[block] @ embeddings[rows[: top + len(block)]].T
            cosines[
                np.arange(len(rows[: top + len(block)]))[None]
                >= top + np.arange(len(block))[:, None]
            ] = -np.inf
            for position, (column, value) in enumerate(
                zip(cosines.argmax(1), cosines.max(1), strict=True)
            ):
                if value >= threshold:
                    yield int(rows[column]), int(block[position]), float(value)
