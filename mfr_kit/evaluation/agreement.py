"""How far a model keeps the relations of another: which bare faces of different people both hold
for alike.
"""

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.protocols import nonmask_nonmask
from mfr_kit.evaluation.verification.bootstrap import draws
from mfr_kit.evaluation.verification.comparisons import SKIP, Pairs
from mfr_kit.evaluation.verification.rates import CLAIM, Outcome, Plan, figure
from mfr_kit.evaluation.verification.scores import allowed

PROTOCOL = "teacher-agreement"  # its name beside those of evaluation/protocols
MEANING = (
    "Not a TAR: the share of the pairs of different people that the teacher holds for most alike "
    "(as many as the FAR says) which the student holds for most alike, too."
)


def measure_agreement(model: Faces, reference: Faces, plan: Plan) -> Outcome:
    """Compare the impostor pairs that two models accept, each at its own threshold of one FAR.

    These pairs are the faces' hard neighbours. No identities are needed: where every face is a
    person of its own, all pairs count. A model whose scores are all shifted or stretched alike
    agrees fully.

    Args:
        model: a set as the model embedded it; its bare faces count.
        reference: the same set as the other model did.
        plan: FARs, resamples over people, and their seed.
    Returns:
        `tar_at_far`: a row each FAR, whose `tar` is the share of the pairs accepted by the
        reference that the model accepts too (1 for the reference itself) and whose `false_accepts`
        counts the reference's; `tar` is None where there are fewer than `CLAIM`. Resampled are the
        people, under the thresholds of all.
    Raises:
        KitError: the faces are not the same.
    """
    if not np.array_equal(model.keys, reference.keys):
        raise KitError("agreement: the two models' embeddings are not of the same faces")
    ours, theirs = (nonmask_nonmask.pairs(faces) for faces in (model, reference))
    accepted = [_accepted(pairs, plan.fars) for pairs in (ours, theirs)]
    weights = draws(len(theirs.people), plan.resamples, plan.seed)
    rows, resampled = [], {}
    for far, mine, hers in zip(plan.fars, *accepted, strict=True):
        enough = len(hers) >= CLAIM
        kept = np.isin(hers, mine, assume_unique=True)
        tar = float(kept.mean()) if enough else None
        rows.append({"far": far, "tar": tar, "false_accepts": len(hers)})
        if enough and plan.resamples:
            resampled[figure(far)] = _resample(theirs, hers, kept, weights)
    return Outcome({"tar_at_far": rows}, resampled)


def _accepted(pairs: Pairs, fars: tuple[float, ...]) -> list[np.ndarray]:
    """For each FAR the accepted impostor pairs as row * probes + column: those whose cosine
    lies above the first that would be one too many, as TAR at FAR has it.
    """
    ranks = [_rank(far, pairs.count.impostor) for far in fars]
    numbers, cosines = _closest(pairs, max(ranks) + 1)
    refused = [cosines[rank] if rank < len(cosines) else SKIP for rank in ranks]
    return [
        numbers[cosines > limit] if rank else numbers[:0]
        for rank, limit in zip(ranks, refused, strict=True)
    ]


def _rank(far: float, impostors: int) -> int:
    try:
        return allowed(far, impostors)
    except KitError:  # too few comparisons for one false accept
        return 0


def _closest(pairs: Pairs, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and cosines of the `count` impostor pairs of the highest ones, and of those that
    equal the last; highest first.
    """
    numbers, cosines = np.empty(0, np.int64), np.empty(0, np.float32)
    floor = np.nextafter(SKIP, np.float32(0))
    for block in pairs.blocks():
        rows, columns = np.nonzero(block.impostors >= floor)
        top, left = block.first
        here = (top + rows).astype(np.int64) * len(pairs.probe) + left + columns
        numbers = np.concatenate([numbers, here])
        cosines = np.concatenate([cosines, block.impostors[rows, columns]])
        if len(cosines) > count:
            floor = np.partition(cosines, -count)[-count]
            numbers, cosines = numbers[cosines >= floor], cosines[cosines >= floor]
    order = np.argsort(-cosines, kind="stable")
    return numbers[order], cosines[order]


def _resample(
    pairs: Pairs, numbers: np.ndarray, kept: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """(resamples,) shares kept, where a pair weighs the product of how often its two people were
    drawn; NaN where none of them was.
    """
    first, second = (pairs.probe_people[side] for side in np.divmod(numbers, len(pairs.probe)))
    shares = np.empty(len(weights))
    for number, counts in enumerate(weights):
        each = counts[first] * counts[second]
        with np.errstate(invalid="ignore"):
            shares[number] = np.divide(each[kept].sum(), each.sum())
    return shares
