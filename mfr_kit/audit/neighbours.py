"""Nearest neighbours among unit embeddings, block by block: the embeddings may be a memory map, of
which a block is read at a time, and memory grows with N, never with N x N.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mfr_kit.progress import step_through

ROWS, COLUMNS = 1024, 8192


class Nearest(NamedTuple):
    """(N,) int64 rows, -1 for none, and (N,) float32 cosines, -inf for none."""

    rows: np.ndarray
    cosines: np.ndarray


def block_bytes(size: int) -> int:
    """Say how much `nearest` and the others hold at most of embeddings of this size, beside what
    they return: cosines of a block, what is compared of it, and the rows it is made of.
    """
    return ROWS * COLUMNS * (4 + 4 + 1) + (ROWS + 2 * COLUMNS) * 4 * size


def nearest(queries: np.ndarray, others: np.ndarray) -> Nearest:
    """Find each query's nearest row of another set."""
    return _nearest(queries, others, None)


def nearest_stranger(embeddings: np.ndarray, labels: np.ndarray) -> Nearest:
    """Find each row's nearest row of another person."""
    return _nearest(embeddings, embeddings, labels)


def nearest_stranger_of(
    rows: np.ndarray, embeddings: np.ndarray, labels: np.ndarray
) -> Iterator[tuple[np.ndarray, Nearest]]:
    """Find what `nearest_stranger` finds, for some rows; yield them in parts."""
    for top in range(0, len(rows), ROWS):
        part = rows[top : top + ROWS]
        yield part, _of_block(embeddings[part], embeddings, labels[part], labels)


def _nearest(queries: np.ndarray, others: np.ndarray, labels: np.ndarray | None) -> Nearest:
    rows, best = np.full(len(queries), -1, np.int64), np.full(len(queries), -np.inf, np.float32)
    starts = range(0, len(queries), ROWS)
    for top in step_through(starts, "comparing", "blocks"):
        part = slice(top, top + ROWS)
        own = None if labels is None else labels[part]
        rows[part], best[part] = _of_block(queries[part], others, own, labels)
    return Nearest(rows, best)


def _of_block(
    block: np.ndarray, others: np.ndarray, own: np.ndarray | None, labels: np.ndarray | None
) -> Nearest:
    """Compare a block with all others but, where labels are given, those of its own people."""
    rows, best = np.full(len(block), -1, np.int64), np.full(len(block), -np.inf, np.float32)
    for left in range(0, len(others), COLUMNS):
        cosines = block @ others[left : left + COLUMNS].T
        if own is not None and labels is not None:
            cosines[own[:, None] == labels[None, left : left + COLUMNS]] = -np.inf
        column = cosines.argmax(1)
        value = cosines[np.arange(len(cosines)), column]
        better = np.flatnonzero(value > best)
        rows[better], best[better] = left + column[better], value[better]
    return Nearest(rows, best)


def likeness_to_own(embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) mean cosine to the person's other photographs; +inf for a person's only one. By sums:
    a person may have any number of them.
    """
    found = np.full(len(labels), np.inf, np.float64)
    for rows, starts in _of_people(labels, COLUMNS):
        counts = np.diff(starts, append=len(rows))
        if len(starts) > 1 or len(rows) <= COLUMNS:
            part = embeddings[rows]
            sums = np.repeat(np.add.reduceat(part, starts, axis=0), counts, axis=0)
            sums -= part
            own = np.einsum("nd,nd->n", part, sums)
        else:
            own = _to_one_person(embeddings, rows)
        others = np.repeat(counts, counts) - 1
        found[rows] = np.where(others > 0, own / np.maximum(others, 1), np.inf)
    return found


def _to_one_person(embeddings: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Sum each row's cosines to the others, of a person with more rows than a block."""
    total = np.zeros((1, embeddings.shape[1]), np.float32)
    parts = [rows[left : left + COLUMNS] for left in range(0, len(rows), COLUMNS)]
    for part in parts:
        total = np.add.reduce(np.concatenate([total, embeddings[part]]), axis=0, keepdims=True)
    return np.concatenate(
        [np.einsum("nd,nd->n", embeddings[part], total - embeddings[part]) for part in parts]
    )


def _of_people(labels: np.ndarray, most: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the rows of some people, person by person, and where each person's begin among them;
    of one person, or of several with no more than `most` rows together.
    """
    order = np.argsort(labels, kind="stable")
    edges = np.flatnonzero(np.diff(labels[order], prepend=-1, append=-1))
    first = 0
    while first < len(edges) - 1:
        last = int(np.searchsorted(edges, edges[first] + most, side="right")) - 1
        last = min(max(last, first + 1), len(edges) - 1)
        yield order[edges[first] : edges[last]], edges[first:last] - edges[first]
        first = last


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
            columns, values = _earlier(embeddings, rows, top, len(block))
            for position in np.flatnonzero(values >= threshold).tolist():
                earlier = int(rows[columns[position]])
                yield earlier, int(block[position]), float(values[position])


def _earlier(embeddings: np.ndarray, rows: np.ndarray, top: int, count: int) -> Nearest:
    """Find, of the `count` rows from `top` on, each one's nearest before it."""
    block, place = embeddings[rows[top : top + count]], top + np.arange(count)
    found, best = np.full(count, -1, np.int64), np.full(count, -np.inf, np.float32)
    for left in range(0, top + count, COLUMNS):
        columns = np.arange(left, min(left + COLUMNS, top + count))
        cosines = block @ embeddings[rows[columns]].T
        cosines[columns[None] >= place[:, None]] = -np.inf
        column = cosines.argmax(1)
        value = cosines[np.arange(count), column]
        better = np.flatnonzero(value > best)
        found[better], best[better] = left + column[better], value[better]
    return Nearest(found, best)
