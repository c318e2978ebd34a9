"""Comparisons that somebody listed, with the interface of `Pairs`; and the lists of LFW and
MLFW.
"""

import sys
from pathlib import Path

import numpy as np

from mfr_kit.data import lists
from mfr_kit.data.face_set.faceset import MASK, NONMASK
from mfr_kit.data.images import SUFFIXES
from mfr_kit.data.verification_sets import pair_rows
from mfr_kit.data.verification_sets.pair_rows import (
    is_labelled,
    is_two_lined,
    read_labelled,
    read_two_lined,
)
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.verification.comparisons import Block, Count

BLOCK = 20_000  # pairs scored at a time


class PairList:
    """The listed comparisons of a table of faces.

    Args:
        faces: the table.
        left: (n,) rows of `faces`.
        right: (n,) rows of `faces`.
        same: (n,) bool, whether the list says it is one person.
        named: whether `faces` knows who they are; else every pair stands for itself.
    """

    symmetric = True

    def __init__(
        self,
        faces: Faces,
        left: np.ndarray,
        right: np.ndarray,
        same: np.ndarray,
        named: bool = True,
    ) -> None:
        self.given = (faces, faces)
        self._named = named
        self.faces, self.left, self.right, self.same = faces, left, right, same
        self.found = faces.found[left] & faces.found[right]
        cosines = np.empty(len(left), np.float32)
        for some in (slice(first, first + BLOCK) for first in range(0, len(left), BLOCK)):
            np.einsum(
                "nd,nd->n",
                faces.embeddings[left[some]],
                faces.embeddings[right[some]],
                out=cosines[some],
            )
        self.scores = np.where(self.found, cosines, np.float32(-np.inf))
        self.people, self._codes = np.unique(faces.people[left].astype(str), return_inverse=True)
        self.probe_people = self._codes[same & self.found]
        found = self.same[self.found]
        self.count = Count(
            int(same.sum()), int((~same).sum()), int(found.sum()), int((~found).sum())
        )

    @property
    def units(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) numbers of who is on the left and on the right of each pair; the pair's own twice
        where nobody is known. Pairs that the list says are of one person have one.
        """
        if not self._named:
            every = np.arange(len(self.left))
            return every, every
        names = [self.faces.people[rows].astype(str) for rows in (self.left, self.right)]
        codes = np.unique(np.concatenate(names), return_inverse=True)[1]
        left, right = codes[: len(self.left)], codes[len(self.left) :]
        return left, np.where(self.same, left, right)

    def per_person(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (left faces, right faces, genuine comparisons) by the person on the left."""
        every = np.bincount(self._codes, minlength=len(self.people))
        return every, every, np.bincount(self._codes[self.same], minlength=len(self.people))

    def blocks(self):
        """Yield the one block there is."""
        genuine = self.scores[self.found & self.same]
        impostors = self.scores[self.found & ~self.same][None, :]
        yield Block(
            impostors, (0, 0), genuine, np.arange(len(genuine)), np.zeros(len(genuine), int)
        )


FOLDS = 10  # of a list that does not say into how many it falls


def read_list(path: Path) -> tuple[list[tuple[str, str, bool]], int]:
    """Read LFW's pairs.txt or a list in the format of MLFW or CPLFW, told apart by their first
    line; see `read_lfw` and `read_mlfw`.
    """
    path = Path(path)
    if not path.is_file():
        raise KitError(f"cannot read the list of pairs {path}: there is no such file")
    return read_mlfw(path) if is_labelled(path) or is_two_lined(path) else read_lfw(path)


def read_mlfw(path: Path) -> tuple[list[tuple[str, str, bool]], int]:
    """Read a list of `image image label` lines, or of two lines `image label` a pair, and lay its
    ten folds out one after the other.

    A fold is a tenth of the pairs of one person with the same tenth of the pairs of two, in the
    list's order: so a list that is written fold by fold keeps its folds, and one with all pairs of
    one person first falls into folds that hold both kinds.

    Returns:
        the comparisons as (photograph, photograph, same person), a photograph being its path
        without suffix; and how many folds.
    Raises:
        KitError: a line of another shape, or pairs of a kind that ten folds cannot share equally.
    """
    rows = read_two_lined(path) if is_two_lined(path) else read_labelled(path)
    pairs = [(_bare(row.left), _bare(row.right), row.same) for row in rows]
    kinds = [[pair for pair in pairs if pair[2] == kind] for kind in (True, False)]
    each = [len(some) // FOLDS for some in kinds]
    if any(len(some) % FOLDS or not some for some in kinds):
        counted = f"{len(kinds[0])} pairs of one person and {len(kinds[1])} of two"
        raise KitError(
            f"{path}: {counted} cannot be shared equally by {FOLDS} folds; the file was cut or "
            "edited"
        )
    return [
        pair
        for fold in range(FOLDS)
        for some, n in zip(kinds, each, strict=True)
        for pair in some[fold * n : (fold + 1) * n]
    ], FOLDS


def _bare(name: str) -> str:
    """Strip what looks like an image's suffix."""
    return str(Path(name).with_suffix("")) if Path(name).suffix.lower() in SUFFIXES else name


def read_lfw(path: Path) -> tuple[list[tuple[str, str, bool]], int]:
    """Read LFW's pairs.txt.

    Returns:
        the comparisons as (photograph, photograph, same person), a photograph being `Name_0001`;
        and how many folds (consecutive, equal).
    Raises:
        KitError: it cannot be read, a line is neither `name i j` nor `name i name j`, or the count
            is not what the first line says.
    """
    folds, rows = pair_rows.read_lfw(Path(path))
    if folds < 2:
        raise KitError(
            f"{path}: the first line must be `folds pairs`, as in LFW's pairs.txt: 10 300"
        )
    pairs = [
        (f"{row.left[0]}_{row.left[1]:04d}", f"{row.right[0]}_{row.right[1]:04d}", row.same)
        for row in rows
    ]
    return pairs, folds


def pair_up(
    faces: Faces,
    pairs: list[tuple[str, str, bool]],
    path: Path,
    allow_unknown: bool = False,
) -> tuple[PairList, np.ndarray]:
    """Look the photographs of a list up in a set, by path or name without suffix, in Unicode's form
    NFC.

    A drawn twin is never taken for its photograph, and a masked photograph only where no unmasked
    one has the name.

    Args:
        faces: the set.
        pairs: from `read_list`.
        path: of the list, for messages.
        allow_unknown: leave pairs out whose photographs are not in the set, with a warning.
    Returns:
        the comparisons, and (n,) their places in the list.
    Raises:
        KitError: photographs of the list are not in the set, not even as ones without a face; or a
            name is that of several photographs.
    """
    named = [(_plain(left), _plain(right), same) for left, right, same in pairs]
    wanted = {name for left, right, _ in named for name in (left, right)}
    rows: dict[str, set[int]] = {}
    known: set[str] = set()
    for condition in (NONMASK, MASK):
        here: dict[str, set[int]] = {}
        for row in np.flatnonzero((faces.photos == faces.keys) & (faces.conditions == condition)):
            source = Path(lists.nfc(faces.sources[row]))
            known |= {source.stem, str(source.with_suffix(""))}
            for name in {str(source.with_suffix("")), source.stem} & wanted:
                here.setdefault(name, set()).add(int(row))
        rows = here | rows
    missing = sorted(wanted - rows.keys())
    if missing:
        _refuse_missing(missing, len(wanted), known, path, allow_unknown)
    several = sorted(name for name, found in rows.items() if len(found) > 1)
    if several:
        raise KitError(
            f"{several[0]} of {path} is the name of {len(rows[several[0]])} photographs of the "
            "set: list them with their folders"
        )
    places = [n for n, pair in enumerate(named) if pair[0] in rows and pair[1] in rows]
    if len({named[place][2] for place in places}) < 2:
        raise KitError(
            f"{path}: no pairs of one person and of two are left whose photographs are in the set"
        )
    left = np.array([min(rows[named[n][0]]) for n in places])
    right = np.array([min(rows[named[n][1]]) for n in places])
    return PairList(faces, left, right, np.array([named[n][2] for n in places])), np.array(places)


def _plain(name: str) -> str:
    """Write a listed photograph as the set does."""
    return lists.nfc(name.replace("\\", "/").removeprefix("./"))


def _refuse_missing(
    missing: list[str], every: int, known: set[str], path: Path, allow_unknown: bool
) -> None:
    named = lists.unknown_of([("not in the set", name) for name in missing], lambda name: known)
    line = f"--pairs {path}: {len(missing):,} of {every:,} photographs are not in the set: {named}"
    if not allow_unknown:
        raise KitError(
            f"{line}. Augment all people of the list, or measure the other pairs with "
            "--allow-unknown"
        )
    print(f"warning: {line} (--allow-unknown)", file=sys.stderr)


def fold_accuracy(
    scores: np.ndarray, same: np.ndarray, folds: int, fold_of: np.ndarray | None = None
) -> tuple[dict, np.ndarray]:
    """Accuracy of each fold at the threshold that is best on all others (of equally good ones the
    middle one).

    Args:
        scores: (n,) float, -inf where a face was not found: never accepted.
        same: (n,) bool.
        folds: into so many consecutive equal parts.
        fold_of: (n,) the fold of each, where pairs of the list were left out.
    Returns:
        `mean` and `std` over the folds, `folds` and `thresholds`; and (n,) bool, which pairs are
        told rightly.
    """
    number = np.arange(len(scores)) * folds // len(scores) if fold_of is None else fold_of
    accuracies, thresholds = [], []
    correct = np.zeros(len(scores), bool)
    for fold in np.unique(number):
        here = number == fold
        thresholds.append(_best_threshold(scores[~here], same[~here]))
        correct[here] = (scores[here] >= thresholds[-1]) == same[here]
        accuracies.append(float(correct[here].mean()))
    found = {
        "mean": float(np.mean(accuracies)),
        "std": float(np.std(accuracies)),
        "folds": accuracies,
        "thresholds": thresholds,
    }
    return found, correct


def _best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    candidates = np.append(np.unique(scores[np.isfinite(scores)]), np.float32(1.03))
    genuine, impostor = np.sort(scores[same]), np.sort(scores[~same])
    right = (
        len(genuine) - np.searchsorted(genuine, candidates) + np.searchsorted(impostor, candidates)
    )
    best = candidates[right == right.max()]
    return float(best[len(best) // 2])
