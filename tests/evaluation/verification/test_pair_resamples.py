"""Intervals of a list of pairs: each resample is the measurement of the pairs as often as they were
drawn.
"""

import numpy as np
import pytest

from mfr_kit.evaluation.verification.bootstrap import draws
from mfr_kit.evaluation.verification.pair_list import PairList
from mfr_kit.evaluation.verification.pair_resamples import resample_accuracy, resample_rates
from mfr_kit.evaluation.verification.rates import Plan, verify, with_accuracy
from mfr_kit.seeding import rng_for
from tests.evaluation.tables import coarse, tar_by_sorting


@pytest.fixture(params=[True, False], ids=["people", "pairs"])
def listed(request):
    """60 pairs, many scores tied, some faces not found; of people by name, or of nobody known."""
    rng = rng_for(5)
    faces = coarse(rng, 80, 9, levels=4, size=8)
    left, right = rng.integers(0, 80, (2, 60))
    same = faces.people[left] == faces.people[right]
    same[:6] = True  # what the list says counts, whoever they are
    return PairList(faces, left, right, same, named=request.param)


def weights_of(pairs: PairList, count: int, seed: int) -> np.ndarray:
    """How often each pair counts, one by one."""
    names = pairs.faces.people.astype(str)
    named = len({*pairs.units[0].tolist()}) < len(pairs.left)
    if not named:
        return draws(len(pairs.left), count, seed)
    known = sorted({*names[pairs.left], *names[pairs.right]})
    drawn = draws(len(known), count, seed)
    weights = np.zeros((count, len(pairs.left)), int)
    for number in range(len(pairs.left)):
        a, b = (names[rows[number]] for rows in (pairs.left, pairs.right))
        weights[:, number] = drawn[:, known.index(a)]
        if not pairs.same[number]:
            weights[:, number] *= drawn[:, known.index(b)]
    return weights


def test_a_resample_is_the_measurement_of_the_drawn_pairs(listed, monkeypatch) -> None:
    monkeypatch.setattr("mfr_kit.evaluation.verification.pair_resamples.CELLS", 200)
    fars, count = [0.4, 0.1], 25
    found = resample_rates(listed, [*fars, 1e-6], count, seed=3)
    assert sorted(found) == [0.1, 0.4], "one that the list does not support has no resamples"
    weights, told = weights_of(listed, count, 3), rng_for(9).random(60) < 0.7
    right = resample_accuracy(listed, told, count, seed=3)
    for at, row in enumerate(weights):
        genuine, impostor = (
            np.repeat(listed.scores[kind], row[kind]).tolist()
            for kind in (listed.same, ~listed.same)
        )
        for far in fars:
            assert found[far][at] == tar_by_sorting(genuine, impostor, far)[0]
        assert right[at] == pytest.approx(np.repeat(told, row).mean())


def test_the_interval_holds_the_rate_and_draws_are_the_same_for_every_model(listed) -> None:
    plan = Plan(fars=(0.4,), resamples=50, seed=1)
    told = rng_for(2).random(60) < 0.6
    accuracy = {"mean": float(told.mean())}
    outcomes = [with_accuracy(verify(listed, plan), listed, accuracy, told, plan) for _ in range(2)]
    span = outcomes[0].result["accuracy"]["interval"]
    assert span["low"] < told.mean() < span["high"] and span["resamples"] == 50
    first, second = (outcome.resampled for outcome in outcomes)
    assert set(first) == {"tar@far=0.4", "accuracy"}
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert verify(listed, Plan(fars=(0.4,))).resampled == {}
