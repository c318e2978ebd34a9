"""The worst errors against a Python list of all comparisons, fully sorted."""

import tracemalloc

import numpy as np
import pytest

from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.verification import comparisons as blocks
from mfr_kit.evaluation.verification import worst as errors
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.pair_list import PairList
from mfr_kit.evaluation.verification.rates import Plan, verify
from mfr_kit.evaluation.verification.worst import worst
from mfr_kit.seeding import rng_for
from tests.evaluation.tables import coarse, table


def sorted_errors(pairs: Pairs, threshold: float) -> tuple[list, list]:
    """All false matches and false non-matches of found faces, worst first, those that stand
    first in front of their equals.
    """
    probe, gallery = pairs.probe, pairs.gallery
    false, missed = [], []
    for i in range(len(probe)):
        for j in range(i + 1 if pairs.symmetric else 0, len(gallery)):
            score = float(np.dot(probe.embeddings[i], gallery.embeddings[j]))
            if probe.people[i] != gallery.people[j]:
                if score >= threshold:
                    false.append((-score, i, j))
            elif probe.photos[i] != gallery.photos[j] and score < threshold:
                missed.append((score, i, j))
    return [(-s, probe.keys[i], gallery.keys[j]) for s, i, j in sorted(false)], [
        (s, probe.keys[i], gallery.keys[j]) for s, i, j in sorted(missed)
    ]


def rows_at(*thresholds: float) -> list[dict]:
    return [
        {"far": 10.0 ** -(1 + at), "tar": 0.5, "threshold": value}
        for at, value in enumerate(thresholds)
    ]


def listed(found: list[dict]) -> list[tuple]:
    return [(row["score"], row["probe"], row["gallery"]) for row in found]


def renamed(faces: Faces, side: str) -> Faces:
    return Faces(
        **{
            **{name: getattr(faces, name) for name in faces.__dataclass_fields__},
            "keys": np.array([f"{side}{key}" for key in faces.keys]),
        }
    )


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_equal_to_sorting_everything_ties_included(monkeypatch, symmetric: bool, seed: int) -> None:
    monkeypatch.setattr(blocks, "ROWS", 16)
    monkeypatch.setattr(blocks, "COLUMNS", 24)
    monkeypatch.setattr(errors, "STRIP", 5)
    rng = rng_for(seed)
    faces = coarse(rng, 70, 9)
    pairs = (
        Pairs(faces) if symmetric else Pairs(renamed(faces, "p"), renamed(coarse(rng, 60, 9), "g"))
    )
    threshold = 0.125
    false, missed = sorted_errors(pairs, threshold)
    assert len({score for score, *_ in false}) < len(false) / 3, "this test is about ties"
    for shown in (1, 7, 20, 10_000):
        result = worst(pairs, rows_at(0.1, threshold), shown)
        assert result["far"] == 0.01 and result["threshold"] == threshold, (
            "the smallest FAR that is claimed"
        )
        assert listed(result["false_matches"]) == false[:shown]
        assert listed(result["false_non_matches"]) == missed[:shown]


def test_a_far_without_a_claim_is_passed_over_and_none_means_none() -> None:
    pairs = Pairs(coarse(rng_for(1), 40, 5))
    rows = rows_at(0.1, 0.2)
    assert worst(pairs, [rows[0], {**rows[1], "tar": None}], 5)["far"] == 0.1
    assert worst(pairs, [{**row, "tar": None} for row in rows], 5) is None


def test_counts_are_those_of_the_table_and_nothing_is_named_unasked() -> None:
    faces = coarse(rng_for(3), 80, 10, lost=0.2)
    pairs = Pairs(faces)
    result = verify(pairs, Plan((0.2, 0.05), worst=100_000)).result
    row, named = result["tar_at_far"][1], result["worst"]
    lost = result["comparisons"]["genuine_not_found"]
    assert lost and row["false_accepts"] == len(named["false_matches"])
    assert (
        len(named["false_non_matches"])
        == result["comparisons"]["genuine"] - row["true_accepts"] - lost
    )
    assert "worst" not in verify(pairs, Plan((0.2, 0.05))).result


def test_listed_pairs_name_both_photographs() -> None:
    angles = np.radians([0, 10, 80, 95])
    faces = table(
        np.stack([np.cos(angles), np.sin(angles)], 1), "abac", found=[True, True, True, True]
    )
    pairs = PairList(
        faces, np.array([0, 0, 1]), np.array([1, 2, 3]), np.array([False, True, False])
    )
    result = worst(pairs, rows_at(0.5), 5)
    assert [row["probe"] + row["gallery"] for row in result["false_matches"]] == ["key0key1"]
    assert [row["probe"] + row["gallery"] for row in result["false_non_matches"]] == ["key0key2"]
    assert result["false_non_matches"][0]["score"] == pytest.approx(
        np.cos(np.radians(80)), abs=1e-6
    )


def test_memory_does_not_grow_with_the_comparisons() -> None:
    """Nine million comparisons of which two thirds are errors: the peak stays near what one
    block needs.
    """
    rng = rng_for(5)
    faces = table(rng.normal(size=(4000, 4)).astype(np.float32) / 4, rng.integers(0, 40, 4000))
    pairs = Pairs(faces)
    tracemalloc.start()
    worst(pairs, rows_at(0.0), 20)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    block = blocks.ROWS * blocks.COLUMNS * 4 / 2**20
    assert peak < 2.5 * block, f"{peak:.0f} MiB"
