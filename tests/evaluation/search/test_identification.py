"""Searches in a gallery, recomputed by sorting all scores of a probe; the gallery's rule; and
both in the report.
"""

import json
from fractions import Fraction

import numpy as np
import pytest

from mfr_kit import cli
from mfr_kit.errors import KitError
from mfr_kit.evaluation.compare import evaluate_set, measure
from mfr_kit.evaluation.inputs.faces import Faces, from_set
from mfr_kit.evaluation.search import identification
from mfr_kit.evaluation.search.identification import (
    divide,
    false_positives,
    hits,
    resample,
    returned,
    search,
    threshold_at,
)
from mfr_kit.evaluation.verification.rates import Plan
from mfr_kit.seeding import rng_for
from tests.conftest import write_faceset
from tests.evaluation.tables import coarse, table


def sorted_lists(gallery: Faces, probes: Faces) -> list[list[tuple[float, bool, str]]]:
    """Of each probe all enrolled people, best first, and of equal scores the strangers first;
    empty for a probe without a face.
    """
    lists = []
    for probe in range(len(probes)):
        scores: dict[str, float] = {}
        for row in range(len(gallery)):
            if probes.found[probe] and gallery.found[row]:
                score = float(np.dot(probes.embeddings[probe], gallery.embeddings[row]))
                scores[gallery.people[row]] = max(score, scores.get(gallery.people[row], -np.inf))
        lists.append(
            sorted((-score, name == probes.people[probe], name) for name, score in scores.items())
        )
    return lists


def naive(gallery: Faces, probes: Faces, rank: int, fpir: float) -> tuple[float, float, int]:
    """(share found within `rank`, FNIR, false positives) by trying every score as a threshold."""
    lists = sorted_lists(gallery, probes)
    enrolled = set(gallery.people)
    mated = [some for some, name in zip(lists, probes.people, strict=True) if name in enrolled]
    other = [some for some, name in zip(lists, probes.people, strict=True) if name not in enrolled]
    within = sum(any(is_mate for _, is_mate, _ in some[:rank]) for some in mated) / len(mated)
    best = None
    for t in [
        *sorted(
            {-some[0][0] for some in lists if some}
            | {-entry[0] for some in mated for entry in some}
        ),
        np.inf,
    ]:
        false = sum(bool(some) and -some[0][0] >= t for some in other)
        if false <= Fraction(repr(fpir)) * len(other):
            missed = sum(not (some and some[0][1] and -some[0][0] >= t) for some in mated) / len(
                mated
            )
            best = min(best or (2.0, 0), (missed, -false))
    return within, best[0], -best[1]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("each", [1, 3])
def test_searches_equal_a_full_sort_with_ties(monkeypatch, seed: int, each: int) -> None:
    monkeypatch.setattr(identification, "STRIP", 200)
    faces = coarse(rng_for(seed), 160, 24, levels=1 + seed % 3, size=4)
    gallery, probes = divide(faces, each, seed)
    found = search(gallery, probes)
    ties = 0
    for rank in (1, 2, 5, 10):
        for fpir in (0.02, 0.1, 0.5, 0.97):
            within, fnir, false = naive(gallery, probes, rank, fpir)
            threshold = threshold_at(found, fpir)
            assert hits(found, rank).mean() == pytest.approx(within)
            assert 1 - returned(found, threshold).mean() == pytest.approx(fnir)
            assert false_positives(found, threshold) == false
        ties += int((found.own[found.mated] == found.best[found.mated]).sum())
    assert ties > 0 and not probes.found.all() and not found.mated.all()


def test_a_tie_counts_against_the_system() -> None:
    gallery = table(np.array([[1, 0], [1, 0], [0, 1]]), ["a", "b", "c"])
    probes = table(np.array([[1, 0], [0, 1]]), ["a", "c"], photos=["x", "y"])
    assert search(gallery, probes).rank.tolist() == [2, 1]
    stranger = table(np.array([[1, 0], [1, 0]]), ["a", "s"], photos=["x", "y"])
    found = search(table(np.array([[1, 0]]), ["a"]), stranger)
    assert not returned(found, threshold_at(found, 0.5)).any(), (
        "the stranger scores as high, so no threshold lets only the mate pass"
    )


def test_what_was_not_found_is_not_identified() -> None:
    faces = np.eye(3)[[0, 1, 2]]
    gallery = table(faces, ["a", "b", "c"], found=[True, False, True])
    probes = table(
        np.eye(3)[[0, 1, 2, 2]],
        ["a", "b", "c", "s"],
        photos=list("wxyz"),
        found=[True, True, False, False],
    )
    found = search(gallery, probes)
    assert found.mated.tolist() == [True, True, True, False] and found.rank.tolist() == [1, 0, 0, 0]
    assert hits(found, 10).tolist() == [True, False, False]
    assert (
        threshold_at(found, 0.5) == -np.inf
        and false_positives(found, threshold_at(found, 0.5)) == 0
    )
    nobody = search(table(faces, ["a", "b", "c"], found=[False] * 3), probes)
    assert (nobody.rank == 0).all() and not np.isfinite(nobody.own).any()


def test_the_gallery_follows_names_and_seed_alone() -> None:
    faces = coarse(rng_for(1), 300, 40)
    gallery, probes = divide(faces, 2, 7)
    assert (
        8 < len(set(gallery.people)) < 32
        and np.unique(gallery.people, return_counts=True)[1].max() == 2
    )
    assert not set(gallery.photos) & set(probes.photos)
    order = rng_for(2).permutation(300)
    shuffled, _ = divide(faces.select(order), 2, 7)
    assert sorted(shuffled.keys) == sorted(gallery.keys)
    some = faces.select(np.isin(faces.people, [str(n) for n in range(20)]))
    fewer, _ = divide(some, 2, 7)
    assert sorted(fewer.keys) == sorted(
        key for key, who in zip(gallery.keys, gallery.people, strict=True) if int(who) < 20
    )
    assert sorted(divide(faces, 2, 8)[0].keys) != sorted(gallery.keys)
    with pytest.raises(KitError, match="nobody to identify: 0 enrolled"):
        divide(faces.select(np.zeros(300, bool)), 1, 0)


def test_masked_probes_never_meet_their_own_photograph(tmp_path) -> None:
    faceset = write_faceset(tmp_path / "set", people=12, takes=3)
    faces = from_set(rng_for(3).standard_normal((len(faceset), 6)).astype(np.float32), faceset)
    gallery, probes = divide(faces, 1, 0)
    assert set(probes.conditions) == {"mask"} and set(gallery.conditions) == {"nonmask"}
    people = len(set(gallery.people))
    assert len(gallery) == people and len(probes) == 36 - people
    assert not set(gallery.keys) & set(probes.photos)
    bare = faceset.clean()
    gallery, probes = divide(from_set(np.ones((len(bare), 2), np.float32), bare), 1, 0)
    assert (
        len(gallery) == people
        and len(probes) == 36 - people
        and set(probes.conditions) == {"nonmask"}
    )


def test_resamples_equal_searches_of_the_people_drawn() -> None:
    """Each resample is measured anew on the probes of the people drawn, a person drawn twice
    with all probes twice.
    """
    faces = coarse(rng_for(5), 200, 30)
    gallery, probes = divide(faces, 1, 5)
    found = search(gallery, probes)
    rates = resample(found, (1, 5), [0.1, 0.3], 15, 9)
    names = np.unique(probes.people.astype(str))
    for index, drawn in enumerate(identification.draws(len(names), 15, 9)):
        rows = np.concatenate(
            [
                np.repeat(np.flatnonzero(probes.people == name), times)
                for name, times in zip(names, drawn, strict=True)
            ]
        )
        again = search(gallery, probes.select(rows))
        for rank in (1, 5):
            assert rates[f"rank-{rank}"][index] == pytest.approx(hits(again, rank).mean())
        for fpir in (0.1, 0.3):
            assert rates[f"fnir@fpir={fpir}"][index] == pytest.approx(
                1 - returned(again, threshold_at(again, fpir)).mean()
            )


def test_too_few_strangers_are_said_to_be_too_few(tmp_path) -> None:
    faceset = write_faceset(tmp_path / "set", people=12)
    rows = rng_for(3).standard_normal((len(faceset), 6)).astype(np.float32)
    result = evaluate_set(rows, faceset, fars=[0.9, 1e-3], protocols=["identification"])[
        "identification"
    ]["identification"]
    assert (
        result["searches"]["mated"] + result["searches"]["non_mated"]
        == 48 - result["enrolled"]["photographs"]
    )
    large, middle, small = result["open_set"]
    assert (large["fpir"], middle["fpir"], small["fpir"]) == (0.9, 0.1, 1e-3)
    assert (
        "a claim needs 30" in middle["note"]
        and middle["fnir"] is None
        and middle["false_positives"] < 30
    )
    assert "the smallest FPIR they support is" in small["note"] and small["threshold"] is None
    assert "identification" not in evaluate_set(rows, faceset, fars=[0.5])
    assert "identification" in measure(from_set(rows, faceset), Plan(fars=(0.5,), enrol=2))


def test_two_models_searched_side_by_side(colour_models, tmp_path, capsys) -> None:
    write_faceset(tmp_path / "set", people=16)
    flags = [
        "--data",
        str(tmp_path / "set"),
        "--protocol",
        "identification",
        "--far",
        "0.9",
        "--resamples",
        "20",
        "--no-cache",
    ]
    assert cli.main(["evaluate", "whole", "upper", *flags, "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    entry = json.loads((tmp_path / "out" / "report.json").read_text())["protocols"][
        "identification"
    ]
    ranks = {
        model: [row["rate"] for row in result["identification"]["cmc"]]
        for model, result in entry["models"].items()
    }
    assert ranks["upper"][0] > ranks["whole"][0], "the lower half of masked faces is painted over"
    assert all(rates == sorted(rates) for rates in ranks.values())
    assert f"{100 * ranks['upper'][0]:.2f} (" in text and "upper minus whole in rank-1: +" in text
    first = entry["identification_differences"][0]
    assert (
        first["figure"] == "rank-1" and first["difference"] == ranks["upper"][0] - ranks["whole"][0]
    )
    assert first["interval"]["low"] <= first["difference"] <= first["interval"]["high"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert (
        f'data-value="{ranks["upper"][0]}"' in page
        and "a claim needs 30" in page
        and "FNIR at FPIR 0.9" in page
    )
    assert cli.main(["evaluate", "whole", "--data", str(tmp_path / "set"), "--enrol", "-1"]) == 2
    assert "--enrol must be 0 or more, not -1" in capsys.readouterr().err
