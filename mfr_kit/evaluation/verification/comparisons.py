"""All comparisons of probes with a gallery, or of a set with itself: counted exactly, scored in
blocks, never held.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.faces import Faces

ROWS, COLUMNS = 1024, 4096  # a block of scores is 16 MiB
# below every cosine: marks what is not an impostor comparison in a block
SKIP = np.float32(-1.03125)


@dataclass(frozen=True)
class Block:
    """Scores of rows x columns, and the genuine comparisons among them.

    Attributes:
        impostors: (R, C) float32 cosines, SKIP where the comparison is not an impostor's; valid
            until the next block.
        first: (row, column) of its corner, in the order of `Pairs.probe` and `Pairs.gallery`.
        genuine: (n,) float32 cosines.
        rows, columns: (n,) where the genuine ones stand in `Pairs.probe` and `Pairs.gallery`.
    """

    impostors: np.ndarray
    first: tuple[int, int]
    genuine: np.ndarray
    rows: np.ndarray
    columns: np.ndarray


@dataclass(frozen=True)
class Count:
    """How many comparisons there are: in all, and among faces that were found."""

    genuine: int
    impostor: int
    genuine_found: int
    impostor_found: int


class Pairs:
    """The comparisons of `probe` with `gallery`, or the unordered ones of `probe` with itself where
    `gallery` is None.

    Same person is genuine, unless both are the same photograph (a clean face and its masked twin):
    that comparison is left out. Everybody serves as an impostor, people with a single photograph
    too.
    """

    def __init__(self, probe: Faces, gallery: Faces | None = None, device: Any = None) -> None:
        self.device = device  # a torch device that scores them; None: NumPy does
        self.symmetric = gallery is None
        self.given = (probe, probe if gallery is None else gallery)
        everything = np.concatenate([self.given[0].people, self.given[1].people])
        self.people = np.unique(everything.astype(str)) if len(everything) else np.array([], str)
        self.count = self._count()
        self.probe, self.probe_people = self._sorted(probe)
        self.gallery, self.gallery_people = (
            (self.probe, self.probe_people) if gallery is None else self._sorted(gallery)
        )
        self._start = np.searchsorted(self.gallery_people, self.probe_people, "left")
        self._stop = np.searchsorted(self.gallery_people, self.probe_people, "right")
        _, codes = np.unique(
            np.concatenate([self.probe.photos, self.gallery.photos]).astype(str),
            return_inverse=True,
        )
        self._probe_photos, self._gallery_photos = (
            codes[: len(self.probe)],
            codes[len(self.probe) :],
        )

    @property
    def possible(self) -> bool:
        """Whether there is anything to measure: a genuine and an impostor comparison of faces
        that were found.
        """
        return bool(self.count.genuine_found and self.count.impostor_found)

    def _sorted(self, faces: Faces) -> tuple[Faces, np.ndarray]:
        found = np.flatnonzero(faces.found)
        codes = np.searchsorted(self.people, faces.people[found].astype(str))
        order = np.argsort(codes, kind="stable")
        return faces.select(found[order]), codes[order]

    def _count(self) -> Count:
        numbers = []
        for probe, gallery in (self.given, tuple(side.select(side.found) for side in self.given)):
            same_person, same_photo = (
                _matches(getattr(probe, by), getattr(gallery, by), self.symmetric)
                for by in ("people", "photos")
            )
            every = (
                len(probe) * (len(probe) - 1) // 2 if self.symmetric else len(probe) * len(gallery)
            )
            numbers += [same_person - same_photo, every - same_person]
        return Count(*numbers)

    def per_person(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (probes, gallery faces, genuine comparisons) of each of `people`, with those
        not found.
        """
        codes = [np.searchsorted(self.people, side.people.astype(str)) for side in self.given]
        probes, gallery = (np.bincount(code, minlength=len(self.people)) for code in codes)
        pairs = probes * (probes - 1) // 2 if self.symmetric else probes * gallery
        _, first, numbers = np.unique(
            self.given[0].photos.astype(str), return_index=True, return_counts=True
        )
        if self.symmetric:
            same = numbers * (numbers - 1) // 2
        else:
            names, others = np.unique(self.given[1].photos.astype(str), return_counts=True)
            mine = self.given[0].photos[first].astype(str)
            at = np.searchsorted(names, mine).clip(max=max(len(names) - 1, 0))
            same = (
                numbers * np.where(names[at] == mine, others[at], 0)
                if len(names)
                else np.zeros(len(mine), int)
            )
        excluded = np.bincount(codes[0][first], weights=same, minlength=len(self.people)).astype(
            np.int64
        )
        return probes, gallery, pairs - excluded

    def blocks(self) -> Iterator[Block]:
        """Score every comparison once, block by block."""
        buffer = np.empty((ROWS, COLUMNS), np.float32)
        for top in range(0, len(self.probe), ROWS):
            probes = self.probe.embeddings[top : top + ROWS]
            for left in range(top if self.symmetric else 0, len(self.gallery), COLUMNS):
                columns = self.gallery.embeddings[left : left + COLUMNS]
                scores = buffer.reshape(-1)[: len(probes) * len(columns)].reshape(
                    len(probes), len(columns)
                )
                np.matmul(probes, columns.T, out=scores)
                yield self._split(scores, top, left)

    def _split(self, scores: np.ndarray, top: int, left: int) -> Block:
        height, width = scores.shape
        if self.symmetric and left < top + height:
            number = np.arange(top, top + height)
            np.copyto(scores, SKIP, where=np.arange(left, left + width)[None, :] <= number[:, None])
        rows, columns, fair = self.genuine_in(top, left, height, width)
        genuine = scores[rows - top, columns - left]
        scores[rows - top, columns - left] = SKIP
        return Block(scores, (top, left), genuine[fair], rows[fair], columns[fair])

    def genuine_in(
        self, top: int, left: int, height: int, width: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the rows and columns of comparisons of one person in a block, and which of them
        are genuine: not of one photograph with itself.
        """
        number = np.arange(top, top + height)
        first = np.maximum(
            self._start[number], np.maximum(left, number + 1) if self.symmetric else left
        )
        lengths = np.maximum(np.minimum(self._stop[number], left + width) - first, 0)
        rows = np.repeat(number, lengths)
        columns = (
            np.arange(len(rows))
            - np.repeat(np.cumsum(lengths) - lengths, lengths)
            + np.repeat(first, lengths)
        )
        return rows, columns, self._probe_photos[rows] != self._gallery_photos[columns]

    def sample(self, rng: np.random.Generator, side: int = 1500) -> tuple[np.ndarray, np.ndarray]:
        """Draw (impostor, genuine) scores to guess from: a random side x side corner, and one
        genuine comparison a row.
        """
        rows = rng.permutation(len(self.probe))[:side]
        columns = rng.permutation(len(self.gallery))[:side]
        scores = self.probe.embeddings[rows] @ self.gallery.embeddings[columns].T
        impostors = scores[
            self.probe_people[rows][:, None] != self.gallery_people[columns][None, :]
        ]
        able = rng.permutation(np.flatnonzero(self._stop > self._start))[: 20 * side]
        partner = rng.integers(self._start[able], self._stop[able])
        fair = self._probe_photos[able] != self._gallery_photos[partner]
        genuine = np.einsum(
            "nd,nd->n", self.probe.embeddings[able[fair]], self.gallery.embeddings[partner[fair]]
        )
        return impostors, genuine


def against(probe: Faces, gallery: Faces | None) -> Pairs:
    """Pair probes with a gallery that another model enrolled.

    Raises:
        KitError: there is no gallery, or the two models' embeddings have different sizes.
    """
    if gallery is None:
        raise KitError("give the model that enrolled the gallery with --gallery")
    sizes = probe.embeddings.shape[1], gallery.embeddings.shape[1]
    if sizes[0] != sizes[1]:
        raise KitError(
            f"embeddings of {sizes[0]} numbers cannot be compared with a gallery of {sizes[1]}: "
            "train the student with a projector"
        )
    return Pairs(probe, gallery)


def _matches(probe: np.ndarray, gallery: np.ndarray, symmetric: bool) -> int:
    """Count the pairs with equal labels."""
    names, numbers = np.unique(probe.astype(str), return_counts=True)
    if symmetric:
        return int((numbers * (numbers - 1) // 2).sum())
    others, more = np.unique(gallery.astype(str), return_counts=True)
    _, here, there = np.intersect1d(names, others, return_indices=True)
    return int((numbers[here] * more[there]).sum())
