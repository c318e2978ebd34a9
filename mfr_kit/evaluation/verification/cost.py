"""What measuring every comparison will cost, said before it starts."""

from itertools import islice
from time import perf_counter

from mfr_kit.evaluation.verification import device_sweep
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.score_bins import FINE
from mfr_kit.evaluation.verification.scores import histogram

LARGE = 2_000_000_000  # comparisons from which the cost is told: about half a minute of two cores
TIMED = 5  # blocks


def predict(pairs: Pairs, sweeps: int = 1) -> tuple[int, float]:
    """Time a few blocks and extrapolate.

    Args:
        pairs: the comparisons.
        sweeps: how often each comparison is made: once, and once more for intervals.
    Returns:
        how many comparisons of found faces there are, and the minutes that all sweeps over them
        will take.
    """
    count = pairs.count.genuine_found + pairs.count.impostor_found
    return count, seconds_each(pairs) * count * sweeps / 60


def seconds_each(pairs: Pairs) -> float:
    """Time a few blocks, where they will be scored; seconds a comparison."""
    if pairs.device is not None:
        done, seconds = device_sweep.time_blocks(pairs, TIMED, pairs.device)
    else:
        start, done = perf_counter(), 0
        for block in islice(pairs.blocks(), TIMED):
            histogram(FINE.of(block.impostors), FINE.count)
            done += block.impostors.size
        seconds = perf_counter() - start
    return seconds / max(done, 1)


def cost_line(pairs: Pairs, sweeps: int = 1) -> str | None:
    """Word the prediction, or return None where the comparisons are too few for it to matter."""
    if pairs.count.genuine_found + pairs.count.impostor_found < LARGE:
        return None
    count, minutes = predict(pairs, sweeps)
    return (
        f"{count:,} comparisons, about {minutes:.1f} minutes; --sample-people measures a part of "
        "the set with an interval"
    )
