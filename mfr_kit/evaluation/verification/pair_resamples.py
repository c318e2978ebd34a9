"""How sure the figures of a list of pairs are: its people are resampled, or, where nobody is known,
its pairs.

As in bootstrap.py a person drawn twice counts as two: pairs of one person weigh as often as it was
drawn, pairs of two people the product. Draws are the same for every model, so that differences are
paired.
"""

from collections.abc import Iterator

import numpy as np

from mfr_kit.evaluation.verification.bootstrap import CELLS, draw_parts
from mfr_kit.evaluation.verification.pair_list import PairList
from mfr_kit.evaluation.verification.scores import allowed_at_most

ACCURACY = "accuracy"


def resample_rates(
    pairs: PairList, fars: list[float], count: int, seed: int
) -> dict[float, np.ndarray]:
    """Return the (count,) TARs of the resamples for every FAR that the list supports, the threshold
    set anew in each; NaN without a genuine pair.
    """
    usable = [far for far in fars if far * pairs.count.impostor >= 1]
    if not (usable and count):
        return {}
    order = np.argsort(-pairs.scores, kind="stable")
    scores, same = pairs.scores[order], pairs.same[order]
    found = int(np.isfinite(scores).sum())
    rates: dict[float, list[float]] = {far: [] for far in usable}
    for weights in _weights(pairs, count, seed):
        for row in weights[:, order]:
            other = np.where(same, 0, row)
            reached, total = other[:found].cumsum(), int(other.sum())
            own = np.where(same, row, 0)
            accepted, every = own[:found].cumsum(), int(own.sum())
            for far in usable:
                refused = int(np.searchsorted(reached, allowed_at_most(far, total), "right"))
                # equal scores are accepted or refused together
                end = (
                    np.searchsorted(-scores[:found], -scores[refused], "left")
                    if refused < found
                    else found
                )
                kept = int(accepted[end - 1]) if end else 0
                rates[far].append(kept / every if every else np.nan)
    return {far: np.array(values) for far, values in rates.items()}


def resample_accuracy(pairs: PairList, right: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the (count,) shares of pairs that are told rightly, each at its fold's threshold.

    Args:
        pairs: the list.
        right: (n,) bool, whether a pair is told rightly.
        count: of resamples.
        seed: of them.
    """
    parts = [weights @ right / weights.sum(axis=1) for weights in _weights(pairs, count, seed)]
    return np.concatenate([np.empty(0), *parts])


def _weights(pairs: PairList, count: int, seed: int) -> Iterator[np.ndarray]:
    """Yield (some, n) how often each pair counts, some resamples at a time."""
    left, right = pairs.units
    size, alone = int(max(left.max(), right.max())) + 1, left == right
    step = max(CELLS // max(len(left), size), 1)
    for part in draw_parts(size, count, seed, step):
        yield part[:, left] * np.where(alone, 1, part[:, right])
