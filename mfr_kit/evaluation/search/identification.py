"""Search a gallery of enrolled people (1:N): the rank of the right person, and what a threshold
turns away. Streamed and exact.

The score of a person is the highest cosine of the probe with that person's enrolled faces. A tie
counts against the system: a stranger whose score equals the right person's stands before them. All
results equal a full sort of the same float32 scores.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from mfr_kit.data.face_set.faceset import MASK, NONMASK
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.verification.bootstrap import draws, interval
from mfr_kit.evaluation.verification.rates import CLAIM, COMPARE
from mfr_kit.seeding import key_of

RANKS = (1, 5, 10)
STRIP = 1 << 23  # scores held at a time: 32 MiB
NOBODY = np.float32(-np.inf)  # the score where a face was not found
EVERYBODY = np.float32(-1)  # how reports write the threshold that accepts every cosine


@dataclass(frozen=True)
class Search:
    """What searching a gallery with P probes leaves.

    Attributes:
        people: (P,) str, whom each probe shows.
        mated: (P,) bool, whether that person is enrolled.
        own: (P,) float32, the score of that person; -inf where not enrolled, or a face was not
            found.
        best: (P,) float32, the highest score of anybody else; -inf where there is none.
        rank: (P,) int, how many others score at least `own`, plus one; 0 where `own` is -inf: never
            found.
    """

    people: np.ndarray
    mated: np.ndarray
    own: np.ndarray
    best: np.ndarray
    rank: np.ndarray


def divide(faces: Faces, enrol: int, seed: int) -> tuple[Faces, Faces]:
    """Divide a set into a gallery and probes, by rules that look at names and the seed alone.

    A hash of seed and name enrols about every second person who has an unmasked photograph; of
    their unmasked photographs, in the order of a hash of seed and source, the first `enrol` go into
    the gallery, found or not. Probes are all masked faces of the set, or where it has none all
    other unmasked ones; a masked twin of an enrolled photograph is no probe. Those of the enrolled
    are mated searches.

    Args:
        faces: the set.
        enrol: photographs of a person to enrol, at least 1; fewer where a person has fewer.
        seed: of the hashes.
    Returns:
        gallery and probes.
    Raises:
        KitError: nobody is enrolled, or none of the probes is mated.
    """
    clean = np.flatnonzero(faces.conditions == NONMASK)
    chosen: dict[str, list[int]] = {}
    for row in sorted(
        clean.tolist(),
        key=lambda row: (
            key_of(f"enrolled photograph {seed} {faces.sources[row]}"),
            str(faces.sources[row]),
        ),
    ):
        mine = chosen.setdefault(str(faces.people[row]), [])
        if len(mine) < enrol:
            mine.append(row)
    enrolled = sorted(
        row
        for person, rows in chosen.items()
        if key_of(f"enrolled person {seed} {person}") % 2
        for row in rows
    )
    gallery = faces.select(np.array(enrolled, np.int64))
    masked = faces.conditions == MASK
    probes = faces.select(
        (masked if masked.any() else faces.conditions == NONMASK)
        & ~np.isin(faces.photos, gallery.photos)
    )
    if not (len(gallery) and np.isin(probes.people, gallery.people).any()):
        raise KitError(
            f"nobody to identify: {len(gallery)} enrolled photographs, {len(probes)} probes, "
            "none of an enrolled person"
        )
    return gallery, probes


def search(gallery: Faces, probes: Faces) -> Search:
    """Compare every probe with every enrolled face, a strip of probes at a time."""
    names, codes = np.unique(gallery.people[gallery.found].astype(str), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    columns = gallery.embeddings[gallery.found][order].T
    starts = np.searchsorted(codes[order], np.arange(len(names)))
    people = probes.people.astype(str)
    place = np.searchsorted(names, people).clip(max=max(len(names) - 1, 0))
    known = names[place] == people if len(names) else np.zeros(len(people), bool)
    own, best, rank = (
        np.full(len(probes), NOBODY),
        np.full(len(probes), NOBODY),
        np.zeros(len(probes), np.int64),
    )
    searched = np.flatnonzero(probes.found) if len(names) else np.empty(0, np.int64)
    step = max(STRIP // max(columns.shape[1], 1), 1)
    for first in range(0, len(searched), step):
        rows = searched[first : first + step]
        scores = np.maximum.reduceat(probes.embeddings[rows] @ columns, starts, axis=1)
        mates = np.flatnonzero(known[rows])
        mine = rows[mates], place[rows[mates]]
        own[mine[0]] = scores[mates, mine[1]]
        scores[mates, mine[1]] = NOBODY
        best[rows] = scores.max(axis=1)
        rank[mine[0]] = 1 + (scores[mates] >= own[mine[0], None]).sum(axis=1)
    return Search(people, np.isin(people, np.unique(gallery.people.astype(str))), own, best, rank)


def hits(found: Search, rank: int) -> np.ndarray:
    """(M,) bool, of each mated search whether the right person stands among the first `rank`."""
    return (found.rank[found.mated] >= 1) & (found.rank[found.mated] <= rank)


def threshold_at(found: Search, fpir: float) -> np.float32:
    """Return the lowest threshold whose FPIR is at most `fpir`: the share of searches without a
    mate that return anybody.

    Args:
        found: from `search`.
        fpir: false-positive identification rate, in (0, 1).
    Returns:
        The threshold; -inf where every search may return somebody.
    """
    best = -np.sort(-found.best[~found.mated])
    return _threshold(best, np.arange(1, len(best) + 1), fpir)


def _threshold(best: np.ndarray, reached: np.ndarray, fpir: float) -> np.float32:
    """Take the highest scores of strangers, highest first, and how many searches there are down
    to each.
    """
    allowed = int(Fraction(repr(float(fpir))) * int(reached[-1])) if len(reached) else 0
    place = np.searchsorted(reached, allowed, "right")
    refused = best[place] if place < len(best) else NOBODY
    return np.nextafter(refused, np.float32(np.inf)) if np.isfinite(refused) else NOBODY


def returned(found: Search, threshold: np.float32) -> np.ndarray:
    """(M,) bool, of each mated search whether the right person comes first and reaches the
    threshold.
    """
    return hits(found, 1) & (found.own[found.mated] >= threshold)


def false_positives(found: Search, threshold: np.float32) -> int:
    """Count the searches without a mate that return somebody at the threshold."""
    best = found.best[~found.mated]
    return int(((best >= threshold) & np.isfinite(best)).sum())


def resample(
    found: Search, ranks: tuple[int, ...], fpirs: list[float], count: int, seed: int
) -> dict[str, np.ndarray]:
    """Return, by figure, (count,) rates of resamples over the people of the probes; the threshold
    is set anew in each, the gallery stays.

    A resample without any mated search gives NaN.
    """
    if not count:
        return {}
    names, codes = np.unique(found.people, return_inverse=True)
    weights = draws(len(names), count, seed)
    mated, strangers = codes[found.mated], codes[~found.mated]
    order = np.argsort(-found.best[~found.mated], kind="stable")
    best, strangers = found.best[~found.mated][order], strangers[order]
    right = {figure_of_rank(rank): hits(found, rank) for rank in ranks}
    rates = {name: np.empty(count) for name in [*right, *map(figure_of_fpir, fpirs)]}
    with np.errstate(invalid="ignore"):
        for index, draw in enumerate(weights):
            own, reached = draw[mated], np.cumsum(draw[strangers])
            total = np.float64(own.sum())
            for name, correct in right.items():
                rates[name][index] = own[correct].sum() / total
            for fpir in fpirs:
                kept = returned(found, _threshold(best, reached, fpir))
                rates[figure_of_fpir(fpir)][index] = 1 - own[kept].sum() / total
    return rates


def figure_of_rank(rank: int) -> str:
    """Name the share of mated searches with the right person among the first `rank`."""
    return f"rank-{rank}"


def figure_of_fpir(fpir: float) -> str:
    """Name FNIR at an FPIR."""
    return f"fnir@fpir={fpir:g}"


def figure_in(figure: str, gallery: str) -> str:
    """Name a figure of one of several galleries; the only gallery of a protocol has no name, ""
    .
    """
    return f"{figure} in {gallery}" if gallery else figure


def searches_of(result: dict) -> list[tuple[str, dict]]:
    """List the searches of a protocol's result: (name of the gallery, what `figures` and
    `counts` say of it); none without a gallery.
    """
    alone = [("", result["identification"])] if "identification" in result else []
    return alone + [(row["gallery"], row) for row in result.get("searched", ())]


def counts(found: Search, probes: Faces) -> dict:
    """Count the searches as reports do: `mated`, `non_mated`, and `not_found`, those whose probe
    has no face.
    """
    mated = int(found.mated.sum())
    return {
        "mated": mated,
        "non_mated": len(found.mated) - mated,
        "not_found": int((~probes.found).sum()),
    }


def figures(
    found: Search, fpirs: list[float], resamples: int, seed: int
) -> tuple[dict, dict[str, np.ndarray]]:
    """Return what reports say of searches, and its resamples by figure.

    Args:
        found: from `search`.
        fpirs: false-positive identification rates, each in (0, 1).
        resamples: over the people of the probes; 0 for no intervals.
        seed: of the resamples.
    Returns:
        `cmc` (a row each rank: `rank`, `rate`, `interval`) and `open_set` (a row each FPIR: `fpir`,
        `fnir`, `interval`, `threshold`, `false_positives`, `note`; `fnir` None where too few
        searches have no mate); and (resamples,) values by figure.
    """
    resampled = resample(found, RANKS, _supported(found, fpirs), resamples, seed)
    cmc = [
        {
            "rank": rank,
            "rate": float(hits(found, rank).mean()),
            "interval": _span(resampled, figure_of_rank(rank)),
        }
        for rank in RANKS
    ]
    return {
        "cmc": cmc,
        "open_set": [
            _open_set(found, fpir, _span(resampled, figure_of_fpir(fpir))) for fpir in fpirs
        ],
    }, resampled


def _supported(found: Search, fpirs: list[float]) -> list[float]:
    return [fpir for fpir in fpirs if fpir * int((~found.mated).sum()) >= 1]


def _span(resampled: dict, figure: str) -> dict | None:
    return interval(resampled[figure]) if figure in resampled else None


def _open_set(found: Search, fpir: float, span: dict | None) -> dict:
    """Return one line of FNIR at FPIR: with `fnir` None and `note` saying why, where the set has
    too few searches without a mate.
    """
    nothing = {
        "fpir": fpir,
        "fnir": None,
        "interval": None,
        "threshold": None,
        "false_positives": None,
    }
    searches = int((~found.mated).sum())
    if not _supported(found, [fpir]):
        smallest = (
            f"the smallest FPIR they support is {1 / searches:.3g}"
            if searches
            else "they support no FPIR"
        )
        return {
            **nothing,
            "note": f"FPIR {fpir:g} cannot be measured on {searches:,} searches without a mate: "
            f"{smallest}",
        }
    threshold = threshold_at(found, fpir)
    false = false_positives(found, threshold)
    counted = {"threshold": float(max(threshold, EVERYBODY)), "false_positives": false}
    if false < CLAIM:
        return {
            **nothing,
            **counted,
            "note": f"only {false} false positives, a claim needs {CLAIM}",
        }
    weak = (
        f"only {false} false positives, comparing models needs {COMPARE}" if false < COMPARE else ""
    )
    fnir = 1 - float(returned(found, threshold).mean())
    return {"fpir": fpir, "fnir": fnir, "interval": span, **counted, "note": weak}
