"""About the nearest neighbours, among more embeddings than memory holds: faiss's inverted file
(`IndexIVFFlat`, inner product), whose lists lie on disk. The kit itself does not need faiss.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mfr_kit import files
from mfr_kit.audit.neighbours import Nearest, nearest_stranger_of
from mfr_kit.errors import KitError

# faiss's own advice: 4 sqrt(N) cells; what a query visits of them decides the recall
CELLS_PER_ROOT, PROBED = 4, 64
POINTS_PER_CELL = 39  # that faiss wants to train on
PART_BYTES = 1 << 28  # of embeddings held: to train on, and to add at a time
QUERIES = 4096  # searched at a time
MOST = 1024  # neighbours asked for; who has more photographs is compared with everybody


class InvertedFile:
    """An index of unit embeddings.

    Args:
        embeddings: (N, D) float32, N >= 1; may be a memory map.
        folder: that exists; the index is below it, and gone when the `with` block of `build` ends.
        probed: cells that a query visits; all of them: the search is exact.
    Raises:
        KitError: faiss is not installed.
    """

    def __init__(self, embeddings: np.ndarray, folder: Path, probed: int = PROBED) -> None:
        faiss = load_faiss()
        self._embeddings = embeddings
        count, size = embeddings.shape
        self.part_rows = max(1, PART_BYTES // (4 * size))
        sample = embeddings[:: -(-count // self.part_rows)]
        cells = min(round(CELLS_PER_ROOT * count**0.5), len(sample) // POINTS_PER_CELL)
        self._quantizer = faiss.IndexFlatIP(size)  # the index does not keep it alive
        self.index = faiss.IndexIVFFlat(
            self._quantizer, size, max(1, cells), faiss.METRIC_INNER_PRODUCT
        )
        self.index.train(_rows(sample))
        self.index.nprobe = min(self.index.nlist, probed)
        self._fill(folder)

    def _fill(self, folder: Path) -> None:
        from faiss.contrib.ondisk import merge_ondisk

        faiss, parts = load_faiss(), []
        for start in range(0, len(self._embeddings), self.part_rows):
            part = _rows(self._embeddings[start : start + self.part_rows])
            self.index.add_with_ids(part, np.arange(start, start + len(part)))
            parts.append(str(folder / f"part-{start}"))
            faiss.write_index(self.index, parts[-1])
            self.index.reset()
        merge_ondisk(self.index, parts, str(folder / "lists"))
        for name in parts:
            with contextlib.suppress(OSError):  # where what is mapped cannot be deleted
                Path(name).unlink()

    def search(self, queries: np.ndarray, count: int) -> Nearest:
        """Find the (B, count) nearest of (B, D) queries, nearest first; -1 and -inf for none."""
        cosines, rows = self.index.search(_rows(queries), count)
        cosines[rows < 0] = -np.inf
        return Nearest(rows, cosines)


@contextlib.contextmanager
def build(embeddings: np.ndarray, folder: Path, probed: int = PROBED) -> Iterator[InvertedFile]:
    """Build an index in a folder of its own below `folder`; see `InvertedFile`."""
    load_faiss()
    with files.scratch(folder / "neighbours") as own:
        yield InvertedFile(embeddings, own, probed)


def nearest(queries: np.ndarray, others: np.ndarray, folder: Path, probed: int = PROBED) -> Nearest:
    """Find about what `neighbours.nearest` finds."""
    found = Nearest(np.empty(len(queries), np.int64), np.empty(len(queries), np.float32))
    with build(others, folder, probed) as index:
        for part in _slices(len(queries)):
            rows, cosines = index.search(queries[part], 1)
            found.rows[part], found.cosines[part] = rows[:, 0], cosines[:, 0]
    return found


def nearest_stranger(
    embeddings: np.ndarray, labels: np.ndarray, folder: Path, probed: int = PROBED
) -> Nearest:
    """Find about what `neighbours.nearest_stranger` finds. A row asks for one neighbour more than
    its person has photographs; a row that meets its own person only is compared with everybody.
    """
    count = len(labels)
    found = Nearest(np.full(count, -1, np.int64), np.full(count, -np.inf, np.float32))
    photos = np.bincount(labels)[labels]
    # powers of two, so that there are few kinds of searches
    asked = np.minimum(2 ** np.ceil(np.log2(photos + 1)).astype(np.int64), MOST)
    with build(embeddings, folder, probed) as index:
        for kind in np.unique(asked).tolist():
            for rows in _parts(np.flatnonzero(asked == kind), max(1, QUERIES * 16 // kind)):
                _note_strangers(found, rows, index.search(embeddings[rows], kind), labels)
    if len(np.unique(labels)) > 1:
        alone = np.flatnonzero(found.rows < 0)
        for rows, exact in nearest_stranger_of(alone, embeddings, labels):
            found.rows[rows], found.cosines[rows] = exact
    return found


def _note_strangers(found: Nearest, rows: np.ndarray, near: Nearest, labels: np.ndarray) -> None:
    """Take the first of each row's neighbours that is another person."""
    strange = (near.rows >= 0) & (labels[near.rows] != labels[rows, None])
    first, some = strange.argmax(1), strange.any(1)
    found.rows[rows[some]] = near.rows[some, first[some]]
    found.cosines[rows[some]] = near.cosines[some, first[some]]


def _slices(count: int) -> Iterator[slice]:
    return (slice(start, start + QUERIES) for start in range(0, count, QUERIES))


def _parts(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _rows(embeddings: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(embeddings, np.float32)


def load_faiss() -> Any:
    """Import faiss.

    Raises:
        KitError: it is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise KitError(
            "--search faiss needs the package: pip install faiss-cpu, or leave the flag out"
        ) from None
    return faiss
