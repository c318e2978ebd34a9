"""Which faces are near enough to be one person: each one's nearest neighbours at or above a cosine,
found block by block among embeddings that may be a memory map.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mfr_kit.audit import inverted_file, neighbours
from mfr_kit.progress import step_through

EDGE_BYTES = 64  # at most, of an edge while both directions of it are joined


class Edges(NamedTuple):
    """(E,) int32 rows, the lower first, each pair once, and (E,) float32 cosines."""

    first: np.ndarray
    second: np.ndarray
    cosines: np.ndarray

    def at_least(self, threshold: float) -> "Edges":
        """Keep those of a cosine."""
        kept = self.cosines >= threshold
        return Edges(*(column[kept] for column in self))


def held_bytes(faces: int, size: int, edges: int) -> int:
    """Say how much the graph and its clusters hold at most, all embeddings being on disk: two
    blocks, 64 bytes a face, and `EDGE_BYTES` of each edge in both directions.
    """
    return 4 * neighbours.block_bytes(size) + 64 * faces + 2 * EDGE_BYTES * edges


def find_edges(rows: np.ndarray, threshold: float, count: int) -> Edges:
    """Connect each row with its nearest others, exactly.

    Args:
        rows: (N, D) float32, unit length.
        threshold: the least cosine.
        count: neighbours that a row asks for; it may have more, that ask for it.
    """
    starts = range(0, len(rows), neighbours.ROWS)
    tops = step_through(starts, "comparing", "blocks")
    return _join(len(rows), (_of_block(rows, top, threshold, count) for top in tops))


def find_edges_by_faiss(
    rows: np.ndarray,
    threshold: float,
    count: int,
    folder: Path,
    probed: int = inverted_file.PROBED,
) -> Edges:
    """Find about what `find_edges` finds, with faiss's lists in a folder that is there.

    Raises:
        KitError: faiss is not installed.
    """

    def parts() -> Iterator[Edges]:
        step = max(1, inverted_file.QUERIES * 16 // (count + 1))
        with inverted_file.build(rows, folder, probed) as index:
            for top in step_through(range(0, len(rows), step), "searching", "blocks"):
                near = index.search(rows[top : top + step], count + 1)
                own = np.arange(top, top + len(near.rows))[:, None]
                query, place = np.nonzero((near.cosines >= threshold) & (near.rows != own))
                found = near.rows[query, place], near.cosines[query, place]
                yield _Candidates(query, *found).nearest(count)[0].edges(top)

    return _join(len(rows), parts())


class _Candidates(NamedTuple):
    """(M,) rows of a block, what they are near to, and the cosines."""

    query: np.ndarray
    other: np.ndarray
    cosines: np.ndarray

    def nearest(self, count: int) -> tuple["_Candidates", np.ndarray]:
        """Keep the `count` nearest of each query; and tell the last of who has so many, and its
        cosine, as (query, cosine) rows.
        """
        order = np.lexsort((self.other, -self.cosines, self.query))
        query = self.query[order]
        rank = np.arange(len(query)) - np.searchsorted(query, query)
        full = order[rank == count - 1]
        last = np.stack([self.query[full].astype(np.float64), self.cosines[full]], axis=1)
        return _Candidates(*(column[order[rank < count]] for column in self)), last

    def edges(self, top: int) -> Edges:
        query = (self.query + top).astype(np.int32)
        other = self.other.astype(np.int32)
        return Edges(np.minimum(query, other), np.maximum(query, other), self.cosines)


def _of_block(rows: np.ndarray, top: int, threshold: float, count: int) -> Edges:
    block = rows[top : top + neighbours.ROWS]
    floor = np.full(len(block), threshold, np.float32)
    held = _Candidates(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    for left in range(0, len(rows), neighbours.COLUMNS):
        cosines = block @ rows[left : left + neighbours.COLUMNS].T
        own = np.arange(max(top, left), min(top + len(block), left + cosines.shape[1]))
        cosines[own - top, own - left] = -np.inf
        query, column = np.nonzero(cosines >= floor[:, None])
        found = _Candidates(query, column + left, cosines[query, column])
        joined = (np.concatenate(pair) for pair in zip(held, found, strict=True))
        held, last = _Candidates(*joined).nearest(count)
        floor[last[:, 0].astype(np.int64)] = last[:, 1]
    return held.edges(top)


def _join(faces: int, parts: Iterator[Edges]) -> Edges:
    """Make one of the two directions of an edge, with the greater cosine: they differ by
    rounding.
    """
    found = list(parts)
    whole = Edges(*(np.concatenate(column) for column in zip(*found, strict=True)))
    del found
    key = whole.first.astype(np.int64) * faces + whole.second
    order = np.lexsort((-whole.cosines, key))
    key = key[order]
    kept = order[np.append(True, key[1:] != key[:-1])] if len(key) else order
    return Edges(*(column[kept] for column in whole))
