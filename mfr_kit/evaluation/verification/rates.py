"""TAR at FAR, thresholds, EER, d' and ROC: exact, ties included, whatever the number of
comparisons.

A threshold t accepts every score >= t. FAR(t) is accepted impostors / impostors, TAR(t) accepted
genuine / genuine; both denominators hold the comparisons of faces that were not found, which no
threshold accepts. TAR at FAR = f is the greatest TAR over the thresholds whose FAR is <= f.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.evaluation.verification.bootstrap import interval, resample
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.cost import cost_line
from mfr_kit.evaluation.verification.groups import by_probe
from mfr_kit.evaluation.verification.pair_list import PairList
from mfr_kit.evaluation.verification.pair_resamples import (
    ACCURACY,
    resample_accuracy,
    resample_rates,
)
from mfr_kit.evaluation.verification.plan import (
    DEFAULT_FARS,  # noqa: F401 (part of what a measurement needs)
    Outcome,
    Plan,
)
from mfr_kit.evaluation.verification.scores import (
    Scores,
    allowed,
    bin_holding,
    crossing_bin,
    score,
)
from mfr_kit.evaluation.verification.worst import describe_errors, worst

CLAIM = 30  # false accepts that a printed TAR rests on
COMPARE = 100  # false accepts that a comparison of two models rests on


@dataclass(frozen=True)
class Point:
    """One operating point; `threshold` is the lowest that keeps the promised FAR."""

    threshold: np.float32
    false_accepts: int
    true_accepts: int


def at_far(scores: Scores, far: float) -> Point:
    """Return the point of the greatest TAR whose FAR is <= far.

    Args:
        scores: from `score(pairs, fars)`.
        far: one of those `fars`.
    Raises:
        KitError: see `allowed`.
    """
    rank = allowed(far, scores.pairs.count.impostor)
    number, edges = bin_holding(scores, rank), scores.bins.edges()
    # more false accepts allowed than impostors were found: accept every face that was
    if number == 0:
        return Point(edges[1], int(scores.above[1]), len(scores.genuine))
    values, numbers = scores.kept
    inside = slice(*np.searchsorted(values, [edges[number], edges[number + 1]]))
    from_here = numbers[inside][::-1].cumsum()[::-1] + scores.above[number + 1]
    # the highest score that would bring one false accept too many
    refused = values[inside][np.flatnonzero(from_here > rank)[-1]]
    threshold = np.nextafter(refused, np.float32(np.inf))
    return Point(threshold, scores.impostors_from(threshold), int(scores.genuine_from(threshold)))


def equal_error(scores: Scores) -> tuple[float, np.float32]:
    """Return the EER, the mean of FAR and FRR at the threshold where they differ least, and that
    threshold (of equals the lowest mean).
    """
    number, edges = crossing_bin(scores), scores.bins.edges()
    low, high = edges[max(number, 1)], edges[number + 1]
    inside = [
        part[slice(*np.searchsorted(part, [low, high]))]
        for part in (scores.kept[0], scores.genuine)
    ]
    count = scores.pairs.count
    best = (np.inf, np.inf, low)
    for threshold in np.unique(np.concatenate([*inside, [low, high]])):
        # both rates in units of 1 / (genuine * impostor), free of rounding
        false = scores.impostors_from(threshold) * count.genuine
        missed = (count.genuine - int(scores.genuine_from(threshold))) * count.impostor
        best = min(best, (abs(false - missed), false + missed, threshold))
    return best[1] / 2 / count.genuine / count.impostor, best[2]


def separation(scores: Scores) -> float | None:
    """Return d', the distance of the two means in units of the pooled standard deviation, over
    faces that were found.

    The impostors' moments are those of the bins, at most 3.5e-4 wide: d' is good to three decimals.
    None where the standard deviation is below a bin's width: of a model that gives all faces nearly
    one embedding nothing is left but rounding.
    """
    numbers = -np.diff(scores.above)[1:]
    width = 1 / scores.bins.scale
    centres = scores.bins.edges()[1:-1].astype(np.float64) + width / 2
    mean = np.average(centres, weights=numbers)
    variance = np.average((centres - mean) ** 2, weights=numbers)
    genuine = scores.genuine.astype(np.float64)
    spread = np.sqrt((variance + genuine.var()) / 2)
    return float((genuine.mean() - mean) / spread) if spread > width else None


def curve(scores: Scores, points: int = 400) -> list[tuple[float, float, float]]:
    """Return (threshold, FAR, TAR) along the ROC, exact at every point, spaced evenly in log FAR
    from the first false accept to all.
    """
    count = scores.pairs.count
    bins = np.flatnonzero(np.diff(scores.above))
    far = scores.above[bins] / count.impostor
    wanted = np.geomspace(1 / count.impostor, 1, points)
    chosen = np.unique(np.searchsorted(-far, -wanted, "left").clip(max=len(bins) - 1))
    edges = scores.bins.edges()
    tar = scores.genuine_from(edges[bins[chosen]]) / count.genuine
    return [
        (float(edges[bins[i]]), float(far[i]), float(t))
        for i, t in zip(chosen[::-1], tar[::-1], strict=True)
    ]


def verify(pairs: Pairs | PairList, plan: Plan, challenge: float | None = None) -> Outcome:
    """Measure one model on one protocol's comparisons.

    Args:
        pairs: the comparisons.
        plan: what to measure on them.
        challenge: the FAR at which the challenge's score takes its TAR from this protocol; its row
            is returned as `challenge`, whatever the plan's FARs are.
    Returns:
        comparisons, faces, `tar_at_far` (a row each FAR, also where no claim is possible), `eer`,
        `d_prime`, `roc`; and `worst`, the worst errors, where the plan asks for them.
    """
    if isinstance(pairs, Pairs):
        pairs.device = plan.device
    cost = (
        cost_line(pairs, 1 + bool(plan.resamples))
        if plan.tell and isinstance(pairs, Pairs)
        else None
    )
    if cost and plan.tell:
        plan.tell(cost)
    fars = list(dict.fromkeys([*plan.fars, *([] if challenge is None else [challenge])]))
    # a list of pairs has all of Pairs that a sweep asks for
    scores = score(cast("Pairs", pairs), fars)
    if isinstance(pairs, PairList):
        resampled = resample_rates(pairs, fars, plan.resamples, plan.seed)
    else:
        resampled = resample(scores, fars, plan.resamples, plan.seed)
    rows = [row(scores, far, resampled.get(far)) for far in plan.fars]
    groups = {} if pairs.symmetric else {"groups": by_probe(scores, rows, plan.yaws, plan.sizes)}
    wanted = (
        {} if challenge is None else {"challenge": row(scores, challenge, resampled.get(challenge))}
    )
    named = {}
    if plan.worst:
        found = worst(pairs, rows, plan.worst)
        named = {"worst": describe_errors(found, pairs.given[0], plan.yaws, plan.sizes)}
    return Outcome(
        {**describe(scores, rows), **groups, **named, **wanted},
        {figure(far): values for far, values in resampled.items()},
    )


def with_accuracy(
    outcome: Outcome, pairs: PairList, accuracy: dict, correct: np.ndarray, plan: Plan
) -> Outcome:
    """Add the accuracy of a list of pairs, with its interval, to its outcome.

    Args:
        outcome: of `verify`.
        pairs: the list.
        accuracy: in folds.
        correct: (n,) bool, which pairs are told rightly.
        plan: its resamples.
    """
    span, values = None, {}
    if plan.resamples:
        values = {ACCURACY: resample_accuracy(pairs, correct, plan.resamples, plan.seed)}
        span = interval(values[ACCURACY])
    result = {**outcome.result, ACCURACY: {**accuracy, "interval": span}}
    return Outcome(result, {**outcome.resampled, **values})


def describe(scores: Scores, rows: list[dict]) -> dict:
    """Return what every result holds besides its `tar_at_far` rows."""
    error, threshold = equal_error(scores)
    count = scores.pairs.count
    return {
        "comparisons": {
            "genuine": count.genuine,
            "impostor": count.impostor,
            "genuine_not_found": count.genuine - count.genuine_found,
            "impostor_not_found": count.impostor - count.impostor_found,
        },
        "faces": acquisition(scores.pairs),
        "tar_at_far": rows,
        "eer": {"rate": error, "threshold": float(threshold)},
        "d_prime": separation(scores),
        "histogram": histograms(scores),
        "roc": dict(
            zip(
                ("threshold", "far", "tar"),
                map(list, zip(*curve(scores), strict=True)),
                strict=True,
            )
        ),
    }


def histograms(scores: Scores, width: float = 0.02) -> dict:
    """Count genuine and impostor scores in bins of `width` from -1 to 1, found faces only."""
    starts = np.arange(-1, 1 + width / 2, width)
    edges = scores.bins.edges()
    place = np.searchsorted(edges, starts.astype(np.float32))
    genuine = -np.diff(scores.genuine_from(edges[place]), append=0)
    impostor = -np.diff(scores.above[place], append=0)
    return {
        "from": starts.round(4).tolist(),
        "width": width,
        "genuine": genuine.tolist(),
        "impostor": impostor.tolist(),
    }


def figure(far: float) -> str:
    """Name TAR at a FAR, as differences between models are keyed."""
    return f"tar@far={far:g}"


def row(scores: Scores, far: float, resampled: np.ndarray | None) -> dict:
    """Return one line of TAR at FAR: with `tar` None and `note` saying why, where the set is too
    small for that FAR.
    """
    nothing = dict.fromkeys(
        ("tar", "tar_macro", "interval", "threshold", "false_accepts", "true_accepts")
    )
    try:
        point = at_far(scores, far)
    except KitError as error:
        return {"far": far, **nothing, "note": str(error)}
    counted = {"threshold": float(point.threshold), "false_accepts": point.false_accepts}
    if point.false_accepts < CLAIM:
        return {
            "far": far,
            **nothing,
            **counted,
            "note": f"only {point.false_accepts} false accepts, a claim needs {CLAIM}",
        }
    weak = (
        f"only {point.false_accepts} false accepts, comparing models needs {COMPARE}"
        if point.false_accepts < COMPARE
        else ""
    )
    return {
        "far": far,
        "tar": point.true_accepts / scores.pairs.count.genuine,
        "tar_macro": macro(scores, point.threshold),
        "interval": None if resampled is None else interval(resampled),
        **counted,
        "true_accepts": point.true_accepts,
        "note": weak,
    }


def macro(scores: Scores, threshold: np.float32) -> float:
    """Return the TAR at a threshold averaged over the people who have a genuine comparison, so
    that no person outweighs another.
    """
    possible = scores.pairs.per_person()[2]
    accepted = scores.genuine_people[len(scores.genuine) - int(scores.genuine_from(threshold)) :]
    counts = np.bincount(accepted, minlength=len(possible))
    return float((counts[possible > 0] / possible[possible > 0]).mean())


def acquisition(pairs: Pairs) -> dict:
    """Count the faces on each side, and those in which the detector found none."""
    probe, gallery = pairs.given
    sides = [probe] if pairs.symmetric else [probe, gallery]
    every, missing = sum(map(len, sides)), sum(int((~side.found).sum()) for side in sides)
    counted = {"probes": len(probe), "gallery": len(gallery), "people": len(pairs.people)}
    return {
        **counted,
        "failures_to_acquire": missing,
        "failure_to_acquire_rate": missing / every if every else 0.0,
    }
