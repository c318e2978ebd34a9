"""How sure a TAR is: resample the PEOPLE, set the threshold anew in every resample, and compare
models on the same resamples.

Comparisons of one person are not independent, so resampling pairs would give intervals that are far
too narrow. A person drawn twice counts as two people: its genuine comparisons weigh twice, the two
copies are not compared, impostor comparisons weigh the product.
"""

import base64
from collections.abc import Iterator

import numpy as np

from mfr_kit.evaluation.verification.comparisons import SKIP, Pairs
from mfr_kit.evaluation.verification.scores import Scores, allowed_at_most
from mfr_kit.seeding import key_of, rng_for

LEVEL = 0.95
CELLS = 20_000_000  # weights held at a time


def draws(people: int, count: int, seed: int) -> np.ndarray:
    """Return (count, people) how often each person is drawn in each resample; the same for every
    model and protocol of that many people.
    """
    parts = list(draw_parts(people, count, seed, max(count, 1)))
    return parts[0] if parts else np.empty((0, people), np.int64)


def draw_parts(people: int, count: int, seed: int, step: int) -> Iterator[np.ndarray]:
    """Yield what `draws` returns, `step` resamples at a time."""
    rng, shares = rng_for(seed, key_of("bootstrap")), np.full(people, 1 / people)
    for start in range(0, count, step):
        yield rng.multinomial(people, shares, size=min(step, count - start))


def resample(scores: Scores, fars: list[float], count: int, seed: int) -> dict[float, np.ndarray]:
    """Return the (count,) TARs of the resamples for every FAR the set supports.

    A resample without any genuine comparison gives NaN.
    """
    impostors = scores.pairs.count.impostor
    usable = [far for far in fars if far * impostors >= 1]
    if not (usable and count):
        return {}
    weights = draws(len(scores.pairs.people), count, seed)
    share = 3 * max(usable)
    while True:
        floor = _floor(scores, share)
        tail = _tail(scores.pairs, floor)
        refused = _thresholds(scores.pairs, tail, weights, usable)
        if floor <= scores.bins.edges()[1] or np.isfinite(refused).all():
            return {
                far: _tars(scores, weights, at) for far, at in zip(usable, refused, strict=True)
            }
        share *= 4


def _floor(scores: Scores, share: float) -> np.float32:
    wanted = share * scores.pairs.count.impostor + 100
    return scores.bins.edges()[max(int(np.searchsorted(-scores.above, -wanted, "left")) - 1, 1)]


def _tail(pairs: Pairs, floor: np.float32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Collect the impostor scores >= floor, highest first, and whose they are (indices into
    `pairs.people`).
    """
    parts = []
    for block in pairs.blocks():
        rows, columns = np.nonzero(block.impostors >= max(floor, np.nextafter(SKIP, np.float32(0))))
        top, left = block.first
        parts.append(
            (
                block.impostors[rows, columns],
                pairs.probe_people[top + rows],
                pairs.gallery_people[left + columns],
            )
        )
    values, probe, gallery = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(-values, kind="stable")
    return values[order], probe[order], gallery[order]


def _thresholds(pairs: Pairs, tail: tuple, weights: np.ndarray, fars: list[float]) -> np.ndarray:
    """Return (FARs, resamples) the highest score that is refused; -inf where all of the tail is
    accepted.
    """
    values, probe, gallery = tail
    probes, others, _ = pairs.per_person()
    own = (
        ((weights**2) @ (probes * probes), 2)
        if pairs.symmetric
        else ((weights**2) @ (probes * others), 1)
    )
    total = ((weights @ probes) * (weights @ others) - own[0]) // own[1]
    refused = np.full((len(fars), len(weights)), -np.inf, np.float32)
    step = max(CELLS // max(len(values), 1), 1)
    for start in range(0, len(weights), step):
        part = weights[start : start + step]
        reached = np.cumsum(part[:, probe] * part[:, gallery], axis=1)
        for at, far in enumerate(fars):
            for offset, number in enumerate(total[start : start + step]):
                place = np.searchsorted(reached[offset], allowed_at_most(far, int(number)), "right")
                if place < len(values):
                    refused[at, start + offset] = values[place]
    return refused


def _tars(scores: Scores, weights: np.ndarray, refused: np.ndarray) -> np.ndarray:
    everything = weights @ scores.pairs.per_person()[2]
    accepted = np.empty(len(weights))
    for index, (counts, limit) in enumerate(zip(weights, refused, strict=True)):
        accepted[index] = counts[
            scores.genuine_people[np.searchsorted(scores.genuine, limit, "right") :]
        ].sum()
    with np.errstate(invalid="ignore"):
        return accepted / everything


def interval(values: np.ndarray) -> dict:
    """Return the percentile interval of resampled values."""
    known = values[np.isfinite(values)]
    low, high = (
        np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if len(known) else (np.nan, np.nan)
    )
    return {"low": float(low), "high": float(high), "level": LEVEL, "resamples": len(known)}


def to_text(resampled: dict[str, np.ndarray]) -> dict[str, str]:
    """Write resampled figures as texts for JSON: float32, base64."""
    return {
        name: base64.b64encode(np.asarray(values, "<f4").tobytes()).decode()
        for name, values in resampled.items()
    }


def from_text(stored: dict[str, str]) -> dict[str, np.ndarray]:
    """Read what `to_text` wrote.

    Raises:
        ValueError: damaged.
    """
    return {
        name: np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float64)
        for name, text in stored.items()
    }
