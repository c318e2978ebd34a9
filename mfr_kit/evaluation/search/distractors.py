"""Search one enrolled photograph of a person among a growing number of strangers (distractors), as
MegaFace does. Streamed and exact.

Each pair of photographs of a person in turn: one is enrolled beside the distractors, the other one
is the probe. A distractor that scores as high as the enrolled photograph stands before it. Other
people of the probe set are never in the gallery. Source: Kemelmacher-Shlizerman et al., The
MegaFace Benchmark (arXiv 1512.00596), section 4.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mfr_kit.data.face_set.faceset import NONMASK
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.verification.bootstrap import draws
from mfr_kit.seeding import key_of

CMC = (1, 2, 5, 10, 20, 50, 100)
FIRST = 10  # the smallest number of distractors; each further one is ten times as large
ROWS, COLUMNS = 128, 1 << 16  # a block of scores is 32 MiB
LOST = np.float32(-np.inf)  # the score where a face was not found


@dataclass(frozen=True)
class Chosen:
    """Who is searched for, and among whom.

    Attributes:
        probed: all faces of the people searched for, found or not.
        distractors: unmasked faces that were found, of nobody in `probed`, in the order in which
            they join the gallery.
        left_out: unmasked faces that are no distractors: `people`, of people who are probed;
            `not_found`, without a face.
    """

    probed: Faces
    distractors: Faces
    left_out: dict[str, int]


def choose(faces: Faces, others: Faces | None, seed: int) -> Chosen:
    """Choose by names and the seed alone whom to search for and among whom.

    Only people with an unmasked photograph and another one can be searched for. With `others` that
    is everybody of the set, and the distractors are the unmasked faces of `others`; without it a
    hash of seed and name picks about every second one, and the distractors are the unmasked faces
    of all other people of the set. A hash of seed and key gives the distractors their order, so
    that a small gallery is part of every larger one.

    Args:
        faces: the set.
        others: faces of a second set, from the same model; a name that is also in the set is taken
            for the same person.
        seed: of the hashes, >= 0.
    Raises:
        KitError: nobody can be searched for, no distractor is left, or the two sets' embeddings
            differ in size.
    """
    able = _able(faces)
    names = (
        able
        if others is not None
        else [name for name in able if key_of(f"probed person {seed} {name}") % 2]
    )
    if not names:
        raise KitError(
            f"nobody to search for: {len(able)} people have an unmasked photograph and another "
            "one, the seed picks 0 of them"
        )
    mine = np.isin(faces.people.astype(str), names)
    pool = faces.under(NONMASK) if others is None else _elsewhere(others.under(NONMASK))
    if pool.embeddings.shape[1] != faces.embeddings.shape[1]:
        raise KitError(
            f"distractors of {pool.embeddings.shape[1]} numbers a face, the set's faces have "
            f"{faces.embeddings.shape[1]}"
        )
    known = np.isin(
        pool.people.astype(str), names if others is None else np.unique(faces.people.astype(str))
    )
    rows = np.flatnonzero(pool.found & ~known)
    if not len(rows):
        where = (
            "this set; give a second one with --distractors" if others is None else "the second set"
        )
        raise KitError(
            f"no distractors: of {len(pool)} unmasked faces {int(known.sum())} are of people who "
            f"are probed, in {where}"
        )
    order = sorted(
        rows.tolist(),
        key=lambda row: (key_of(f"distractor {seed} {pool.keys[row]}"), str(pool.keys[row])),
    )
    left_out = {
        "people": 0 if others is None else int(known.sum()),
        "not_found": int((~pool.found & ~known).sum()),
    }
    return Chosen(faces.select(mine), pool.select(np.array(order)), left_out)


def _elsewhere(others: Faces) -> Faces:
    """Name the photographs of a second set apart from those of the first, where another file may
    have the same path.
    """
    return replace(
        others, photos=np.array([f"second set: {photo}" for photo in others.photos], object)
    )


def _able(faces: Faces) -> list[str]:
    """Name the people with an unmasked photograph and another one, found or not."""
    photos: dict[str, set[str]] = {}
    for person, photo in zip(faces.people, faces.photos, strict=True):
        photos.setdefault(str(person), set()).add(photo)
    bare = {str(person) for person in faces.people[faces.conditions == NONMASK]}
    return sorted(name for name, some in photos.items() if len(some) > 1 and name in bare)


@dataclass(frozen=True)
class Trials:
    """Pairs of a probe and an enrolled photograph of the same person, T in all, each a search.

    Attributes:
        probes: the faces that `rows` counts.
        rows: (T,) int, the probe of each.
        people: (T,) str, whom it shows.
        own: (T,) float32, the cosine of the pair; -inf where one of the faces was not found.
    """

    probes: Faces
    rows: np.ndarray
    people: np.ndarray
    own: np.ndarray


def pair_up(probes: Faces, gallery: Faces) -> Trials:
    """Pair every probe with every other photograph of the same person in the gallery; with a
    twin's own photograph never.
    """
    places: dict[str, np.ndarray] = _rows_by_person(gallery)
    rows, people, own = [np.empty(0, np.int64)], [np.empty(0, str)], [np.empty(0, np.float32)]
    for name, mine in _rows_by_person(probes).items():
        there = places.get(name)
        if there is None:
            continue
        scores = probes.embeddings[mine] @ gallery.embeddings[there].T
        scores[~(probes.found[mine][:, None] & gallery.found[there][None, :])] = LOST
        left, right = np.nonzero(probes.photos[mine][:, None] != gallery.photos[there][None, :])
        rows.append(mine[left])
        people.append(np.full(len(left), name))
        own.append(scores[left, right])
    return Trials(probes, np.concatenate(rows), np.concatenate(people), np.concatenate(own))


def _rows_by_person(faces: Faces) -> dict[str, np.ndarray]:
    names, codes = np.unique(faces.people.astype(str), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    return dict(
        zip(
            names.tolist(),
            np.split(order, np.searchsorted(codes[order], np.arange(1, len(names)))),
            strict=True,
        )
    )


def sizes(total: int) -> list[int]:
    """Return 10, 100, 1,000, ... below `total`, and `total`."""
    below: list[int] = []
    while FIRST * 10 ** len(below) < total:
        below.append(FIRST * 10 ** len(below))
    return [*below, total]


def ranks(
    trials: Trials, distractors: np.ndarray, wanted: list[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Score every probe against every distractor once, block by block, and tell the ranks on the
    way.

    Memory: a block of scores and a few bytes a trial, whatever the number of distractors.

    Args:
        trials: from `pair_up`.
        distractors: (N, D) float32, unit rows, in their order.
        wanted: ascending numbers of distractors, each at most N.
    Yields:
        each of `wanted`, and (T,) int64 ranks: how many of the first so many distractors score at
        least `own`, plus one; 0 where `own` is -inf: never found.
    """
    searched = np.flatnonzero(np.isfinite(trials.own))
    # by probe, and there by score
    order = searched[np.lexsort((trials.own[searched], trials.rows[searched]))]
    rows, starts = np.unique(trials.rows[order], return_index=True)
    stops, own = np.append(starts[1:], len(order)), trials.own[order]
    above, done = np.zeros(len(order), np.int64), 0
    for size in wanted:
        for first in range(done, size, COLUMNS):
            columns = distractors[first : min(first + COLUMNS, size)].T
            for top in range(0, len(rows), ROWS):
                scores = trials.probes.embeddings[rows[top : top + ROWS]] @ columns
                for at, line in enumerate(scores, top):
                    mine = own[starts[at] : stops[at]]
                    higher = np.sort(line[line >= mine[0]])
                    above[starts[at] : stops[at]] += len(higher) - np.searchsorted(
                        higher, mine, "left"
                    )
        done = size
        rank = np.zeros(len(trials.own), np.int64)
        rank[order] = 1 + above
        yield size, rank


def hit_rates(
    trials: Trials, rank: np.ndarray, within: tuple[int, ...], count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (R,) the share of trials whose rank is at most each of `within`, and (count, R) the
    same in resamples over people.

    A person who is drawn twice counts with all their trials twice; the gallery stays as it is. A
    resample without trials gives NaN.
    """
    names, codes = np.unique(trials.people, return_inverse=True)
    reached = np.stack([(rank >= 1) & (rank <= limit) for limit in within], 1)
    if not count:
        return reached.mean(axis=0), np.empty((0, len(within)))
    hits = np.stack(
        [np.bincount(codes, weights=column, minlength=len(names)) for column in reached.T], 1
    )
    weights = draws(len(names), count, seed).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return reached.mean(axis=0), weights @ hits / (
            weights @ np.bincount(codes, minlength=len(names))
        )[:, None]
