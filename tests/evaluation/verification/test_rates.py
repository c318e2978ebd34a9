"""The streamed figures are those of a full sort, ties and faces that were not found included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfr_kit.errors import KitError
from mfr_kit.evaluation.verification import comparisons as pairs_module
from mfr_kit.evaluation.verification import scores as scores_module
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.rates import (
    Plan,
    at_far,
    curve,
    equal_error,
    macro,
    row,
    separation,
    verify,
)
from mfr_kit.evaluation.verification.score_bins import COARSE, FINE
from mfr_kit.evaluation.verification.scores import score
from mfr_kit.seeding import rng_for
from tests.evaluation.tables import coarse, eer_by_sorting, listed, table, tar_by_sorting

FARS = [0.9, 0.5, 0.1, 0.03, 0.01]


def measurable(pairs: Pairs) -> bool:
    return bool(pairs.count.genuine_found and pairs.count.impostor_found)


def assert_equal_to_a_full_sort(pairs: Pairs, genuine: list[float], impostor: list[float]) -> None:
    assert (pairs.count.genuine, pairs.count.impostor) == (len(genuine), len(impostor))
    scores = score(pairs, FARS)
    for far in FARS:
        if far * len(impostor) < 1:
            with pytest.raises(KitError, match="smallest FAR"):
                at_far(scores, far)
            continue
        point = at_far(scores, far)
        tar, _ = tar_by_sorting(genuine, impostor, far)
        assert point.true_accepts / len(genuine) == tar
        assert (
            point.false_accepts
            == sum(s >= point.threshold for s in impostor)
            <= far * len(impostor) + 1e-9
        )
        assert point.true_accepts == sum(s >= point.threshold for s in genuine)
    assert equal_error(scores)[0] == pytest.approx(eer_by_sorting(genuine, impostor), abs=1e-12)
    for threshold, far, tar in curve(scores):
        assert far == sum(s >= np.float32(threshold) for s in impostor) / len(impostor)
        assert tar == sum(s >= np.float32(threshold) for s in genuine) / len(genuine)


@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(1, 9), st.booleans())
@settings(max_examples=60, deadline=None)
def test_all_against_all_equals_a_full_sort(
    seed: int, count: int, people: int, all_found: bool
) -> None:
    faces = coarse(rng_for(seed), count, people, lost=0 if all_found else 0.15)
    pairs = Pairs(faces)
    genuine, impostor = listed(faces)
    if measurable(pairs):
        assert_equal_to_a_full_sort(pairs, genuine, impostor)
    else:
        with pytest.raises(KitError, match="nothing to measure"):
            score(pairs, FARS)


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 30), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_probe_against_gallery_equals_a_full_sort(
    seed: int, probes: int, others: int, people: int
) -> None:
    rng = rng_for(seed)
    probe, gallery = coarse(rng, probes, people), coarse(rng, others, people)
    pairs = Pairs(probe, gallery)
    if measurable(pairs):
        assert_equal_to_a_full_sort(pairs, *listed(probe, gallery))


@pytest.mark.parametrize("wrong_guess", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
def test_many_blocks_and_kept_bands_change_nothing(
    monkeypatch: pytest.MonkeyPatch, symmetric: bool, wrong_guess: bool
) -> None:
    """Small blocks, merged buffers, and bands guessed from a sample (or guessed wrong, which
    costs a second sweep) give the same counts.
    """
    monkeypatch.setattr(pairs_module, "ROWS", 7)
    monkeypatch.setattr(pairs_module, "COLUMNS", 16)
    monkeypatch.setattr(scores_module, "WHOLE", 0)
    monkeypatch.setattr(scores_module, "BUFFER", 50)
    if wrong_guess:
        monkeypatch.setattr(scores_module, "_guess", lambda *given: np.array([[3, 4]]))
    rng = rng_for(5)
    probe = coarse(rng, 90, 12, levels=6, size=12)
    gallery = None if symmetric else coarse(rng, 70, 12, levels=6, size=12)
    assert_equal_to_a_full_sort(Pairs(probe, gallery), *listed(probe, gallery))


@pytest.mark.parametrize("bins", [FINE, COARSE], ids=["fine", "coarse"])
def test_every_score_falls_into_the_bin_whose_edges_hold_it(bins) -> None:
    values = np.sort(rng_for(1).uniform(-1.03, 1.03, 200_000).astype(np.float32))
    numbers, edges = bins.of(values).astype(int), bins.edges()
    assert (np.diff(numbers) >= 0).all() and numbers[0] > 0
    assert numbers[-1] < bins.count
    assert (edges[numbers] <= values).all() and (values < edges[numbers + 1]).all()
    assert bins.of(np.float32([pairs_module.SKIP]))[0] == 0


def test_random_embeddings_agree_with_scikit_learn() -> None:
    metrics = pytest.importorskip(
        "sklearn.metrics",
        reason="scikit-learn is not installed: the agreement with it was not tested",
    )
    rng = rng_for(3)
    who = rng.integers(0, 60, 400)
    wide = rng.standard_normal((60, 32))[who] + 1.2 * rng.standard_normal((400, 32))
    faces = table(wide / np.linalg.norm(wide, axis=1, keepdims=True), who)
    pairs = Pairs(faces)
    upper = np.triu_indices(400, 1)
    every = (pairs.probe.embeddings @ pairs.probe.embeddings.T)[upper]
    same = (pairs.probe_people[:, None] == pairs.probe_people[None, :])[upper]
    fpr, tpr, _ = metrics.roc_curve(same, every, drop_intermediate=False)
    scores = score(pairs, [1e-1, 1e-2, 1e-3, 1e-4])
    for far in (1e-1, 1e-2, 1e-3, 1e-4):
        point = at_far(scores, far)
        assert point.true_accepts / pairs.count.genuine == pytest.approx(
            tpr[fpr <= far].max(), abs=1e-12
        )
    genuine, impostor = every[same].astype(float), every[~same].astype(float)
    expected = (genuine.mean() - impostor.mean()) / np.sqrt((genuine.var() + impostor.var()) / 2)
    assert separation(scores) == pytest.approx(expected, abs=2e-4)


def test_far_below_one_false_accept_is_refused_with_the_smallest_supported() -> None:
    """What users of other kits ask for: a FAR without a single false accept is no measurement."""
    rng = rng_for(8)
    scores = score(Pairs(coarse(rng, 50, 10, lost=0)), [1e-2])
    impostors = scores.pairs.count.impostor
    with pytest.raises(KitError, match=f"smallest FAR it supports is {1 / impostors:.3g}"):
        at_far(scores, 0.99 / impostors)
    line = row(scores, 1e-6, None)
    assert line["tar"] is None and "smallest FAR" in line["note"]


def test_few_false_accepts_are_no_claim() -> None:
    rng = rng_for(9)
    result = verify(
        Pairs(coarse(rng, 60, 10, levels=8, size=10, lost=0)), Plan(fars=(0.5, 0.01))
    ).result
    bold, timid = result["tar_at_far"]
    assert bold["tar"] is not None and bold["false_accepts"] >= 100 and bold["note"] == ""
    assert (
        timid["tar"] is None and timid["false_accepts"] < 30 and "a claim needs 30" in timid["note"]
    )


def test_a_face_not_found_is_a_non_match_and_stays_in_the_counts() -> None:
    one = np.eye(4, dtype=np.float32)[[0, 0, 0, 1, 1, 2, 3]]
    people = [0, 0, 0, 1, 1, 2, 3]
    every = verify(Pairs(table(one, people)), Plan(fars=(0.5,))).result
    lost = verify(Pairs(table(one, people, found=[1, 1, 0, 1, 1, 1, 1])), Plan(fars=(0.5,))).result
    assert every["comparisons"]["genuine"] == lost["comparisons"]["genuine"] == 4
    assert (
        lost["comparisons"]["genuine_not_found"] == 2
        and lost["comparisons"]["impostor_not_found"] == 4
    )
    assert lost["faces"]["failures_to_acquire"] == 1 and lost["faces"][
        "failure_to_acquire_rate"
    ] == pytest.approx(1 / 7)
    assert every["roc"]["tar"][0] == 1.0 and max(lost["roc"]["tar"]) == 0.5


def test_macro_tar_gives_each_person_one_voice() -> None:
    wide = np.eye(8, dtype=np.float32)
    faces = table(
        np.concatenate([wide[[0] * 6], wide[[1, 2]], wide[3:7]]), [0] * 6 + [1, 1] + [2, 3, 4, 5]
    )
    scores = score(Pairs(faces), [0.5])
    assert scores.pairs.per_person()[2].tolist() == [15, 1, 0, 0, 0, 0]
    point = at_far(scores, 0.5)
    assert point.true_accepts == 15 and scores.tar(point.threshold) == 15 / 16
    assert macro(scores, point.threshold) == 0.5
