"""Intervals over people: each resample equals measuring the resampled people from scratch."""

import numpy as np
import pytest

from mfr_kit.evaluation.compare import measure, side_by_side
from mfr_kit.evaluation.verification import bootstrap
from mfr_kit.evaluation.verification.bootstrap import draws, interval, resample
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.rates import Plan
from mfr_kit.evaluation.verification.scores import score
from mfr_kit.seeding import rng_for
from tests.evaluation.tables import coarse, tar_by_sorting


def weighted_lists(pairs: Pairs, drawn: np.ndarray) -> tuple[list[float], list[float]]:
    """Write every comparison down as often as the draw weighs it."""
    (probe, gallery), people = pairs.given, list(pairs.people)
    genuine, impostor = [], []
    for i in range(len(probe)):
        for j in range(i + 1 if pairs.symmetric else 0, len(gallery)):
            a, b = drawn[people.index(probe.people[i])], drawn[people.index(gallery.people[j])]
            value = (
                float(np.dot(probe.embeddings[i], gallery.embeddings[j]))
                if probe.found[i] and gallery.found[j]
                else -np.inf
            )
            if probe.people[i] != gallery.people[j]:
                impostor += [value] * int(a * b)
            elif probe.photos[i] != gallery.photos[j]:
                genuine += [value] * int(a)
    return genuine, impostor


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("share", [None, 0.02])
def test_a_resample_is_the_measurement_of_the_resampled_people(
    monkeypatch, symmetric: bool, share: float | None
) -> None:
    """With `share` the first tail is far too short, so that it has to be lengthened."""
    rng = rng_for(21)
    probe = coarse(rng, 36, 8, levels=6, size=10)
    pairs = Pairs(probe) if symmetric else Pairs(probe, coarse(rng, 30, 8, levels=6, size=10))
    fars = [0.3, 0.05]
    scores = score(pairs, fars)
    if share:
        original = bootstrap._floor
        monkeypatch.setattr(
            bootstrap, "_floor", lambda scores, wanted: original(scores, wanted * share)
        )
    drawn = draws(len(pairs.people), 12, seed=4)
    resampled = resample(scores, fars, 12, seed=4)
    for index in range(12):
        genuine, impostor = weighted_lists(pairs, drawn[index])
        for far in fars:
            assert resampled[far][index] == pytest.approx(
                tar_by_sorting(genuine, impostor, far)[0], abs=1e-12
            )


def test_the_same_people_are_drawn_for_every_model() -> None:
    assert (
        (draws(9, 5, 1) == draws(9, 5, 1)).all()
        and (draws(9, 5, 1).sum(1) == 9).all()
        and (draws(9, 5, 1) != draws(9, 5, 2)).any()
    )


def test_a_model_compared_with_itself_differs_by_nothing_for_sure() -> None:
    faces = coarse(rng_for(2), 160, 20, levels=8, size=12)
    outcome = measure(faces, Plan(fars=(0.1,), resamples=50))
    joined = side_by_side({"one": outcome, "two": outcome})["nonmask-nonmask"]
    row = joined["differences"][0]
    assert row["tar_difference"] == 0 and row["interval"]["low"] == row["interval"]["high"] == 0
    line = joined["models"]["one"]["tar_at_far"][0]
    assert line["interval"]["low"] < line["tar"] < line["interval"]["high"]


def test_models_are_not_compared_below_a_hundred_false_accepts() -> None:
    faces = coarse(rng_for(2), 60, 8, levels=8, size=12, lost=0)
    outcome = measure(faces, Plan(fars=(0.04,), resamples=20))
    row = outcome["nonmask-nonmask"].result["tar_at_far"][0]
    assert 30 <= row["false_accepts"] < 100 and "comparing models needs 100" in row["note"]
    assert side_by_side({"one": outcome, "two": outcome})["nonmask-nonmask"]["differences"] == []


def test_resamples_without_a_genuine_comparison_are_left_out_of_the_interval() -> None:
    assert interval(np.array([0.5, np.nan, 0.7])) == {
        "low": pytest.approx(0.505),
        "high": pytest.approx(0.695),
        "level": 0.95,
        "resamples": 2,
    }
