"""In which order a pass shows what it shows, as functions of (seed, pass): in any order, or block
by block for disks that are far away.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mfr_kit.data.face_set.codes import count, is_sorted
from mfr_kit.seeding import rng_for

# keep the order of a pass, and whose face is first, apart from the views of the samples
ORDER_STREAM, TURN_STREAM = 2, 4
WINDOW = 64  # blocks whose rows are mixed with each other


class Sequence(Protocol):
    """Rows in an order, of which parts are taken."""

    def __getitem__(self, part: slice) -> np.ndarray: ...


# how many rows a pass shows, and which rows pass 0, 1, ... shows, in order
Order = tuple[int, Callable[[int], Sequence]]


def every_face(faces: int, seed: int, block: int = 0) -> Order:
    """A pass shows every one of `faces` faces once, in an order of its own: people with many
    photographs are seen often.

    Args:
        faces: how many there are.
        seed: of the order.
        block: rows that stay near each other, see `BlockOrder`; 0: none do.
    """
    return faces, lambda epoch: _shuffle(faces, seed, epoch, block)


def every_person(labels: np.ndarray, seed: int, block: int = 0) -> Order:
    """A pass shows every person once, in an order of its own; a person's faces take turns from pass
    to pass.

    Somebody with one face is seen as often as everybody else, each time in another view of that one
    face (the view follows from the pass); nobody is left out.

    Args:
        labels: (N,) identities 0 .. C-1, each with at least one face.
        seed: of the order, and of whose turn it is first.
        block: people who stay near each other, see `BlockOrder`; 0: none do.
    """
    counts = count(labels, int(labels.max()) + 1)
    starts = np.cumsum(counts) - counts
    first = rng_for(seed, TURN_STREAM).integers(counts)
    # people mostly stand together, in the order of their names
    rows = None if is_sorted(labels) else np.argsort(labels, kind="stable")

    def order(epoch: int) -> Sequence:
        def face_of(people: np.ndarray) -> np.ndarray:
            place = starts[people] + (first[people] + epoch) % counts[people]
            return place if rows is None else rows[place]

        return _Chosen(_shuffle(len(counts), seed, epoch, block), face_of)

    return len(counts), order


@dataclass(frozen=True)
class _Chosen:
    """A row for each entry of a sequence."""

    entries: Sequence
    row_of: Callable[[np.ndarray], np.ndarray]

    def __getitem__(self, part: slice) -> np.ndarray:
        return self.row_of(self.entries[part])


class BlockOrder:
    """0 .. N-1 in an order in which neighbours on the disk are shown at about the same time.

    Rows are cut into blocks of neighbours, elsewhere in each pass; the blocks are shuffled, and the
    rows of every 64 blocks that follow each other are shuffled together. Only these are held.

    Every row comes once a pass. Two rows of one block are shown within 64 blocks of each other,
    which any two rows of a whole shuffle are with a chance of 64 blocks in N; a batch is a draw
    from 64 places of the set instead of from all of it.

    Args:
        count: N.
        seed: of the order.
        epoch: of the pass.
        block: rows of a block.
    """

    def __init__(self, count: int, seed: int, epoch: int, block: int) -> None:
        self._count, self._key, self._block = count, (seed, epoch, ORDER_STREAM), block
        rng = rng_for(*self._key)
        self._shift = int(rng.integers(count))
        self._blocks = rng.permutation(-(-count // block))
        sizes = np.minimum(block, count - self._blocks * block)
        self._ends = np.cumsum([part.sum() for part in np.split(sizes, self._cuts())])
        self._held: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def __getitem__(self, part: slice) -> np.ndarray:
        start, stop, _ = part.indices(self._count)
        found = [np.empty(0, np.int64)]
        while start < stop:
            number = int(np.searchsorted(self._ends, start, side="right"))
            rows = self._window(number)
            first = int(self._ends[number]) - len(rows)
            found.append(rows[start - first : stop - first])
            start = first + len(rows)
        return np.concatenate(found)

    def _cuts(self) -> np.ndarray:
        return np.arange(WINDOW, len(self._blocks), WINDOW)

    def _window(self, number: int) -> np.ndarray:
        """The rows of 64 blocks, shuffled."""
        if self._held[0] != number:
            blocks = self._blocks[number * WINDOW : (number + 1) * WINDOW]
            places = (blocks[:, None] * self._block + np.arange(self._block)).ravel()
            rows = (places[places < self._count] + self._shift) % self._count
            rng_for(*self._key, number + 1).shuffle(rows)
            self._held = (number, rows)
        return self._held[1]


def _shuffle(count: int, seed: int, epoch: int, block: int) -> Sequence:
    if block:
        return BlockOrder(count, seed, epoch, block)
    # what `permutation` gives, in half the memory
    rows = np.arange(count, dtype=np.int32 if count < 1 << 31 else np.int64)
    rng_for(seed, epoch, ORDER_STREAM).shuffle(rows)
    return rows
