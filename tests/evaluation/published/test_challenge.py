"""All against all with groups, and the challenge's score: equal to a full sort, and refused
where the set cannot carry it.
"""

import dataclasses
import json

import numpy as np
import pytest

from mfr_kit import cli
from mfr_kit.errors import KitError
from mfr_kit.evaluation.compare import measure, side_by_side
from mfr_kit.evaluation.protocols import all_to_all, mask_nonmask, nonmask_nonmask
from mfr_kit.evaluation.published.challenge import challenge_scores
from mfr_kit.evaluation.verification.groups import read_groups
from mfr_kit.evaluation.verification.rates import Plan
from mfr_kit.seeding import rng_for
from tests.conftest import write_faceset
from tests.evaluation.tables import coarse, listed, tar_by_sorting


def scored(outcome: dict) -> dict | None:
    return challenge_scores(side_by_side({"m": outcome}), {"m": outcome})


@pytest.fixture
def mixed():
    """240 faces of 12 people, a third of them masked, some not found."""
    rng = rng_for(21)
    faces = coarse(rng, 240, 12, levels=6, size=8)
    return dataclasses.replace(
        faces, conditions=np.where(rng.random(240) < 0.33, "mask", "nonmask").astype(object)
    )


def test_every_face_meets_every_other_whatever_its_condition(mixed) -> None:
    result = all_to_all.measure(mixed, Plan(fars=(0.1, 0.02))).result
    genuine, impostor = listed(mixed)
    assert (result["comparisons"]["genuine"], result["comparisons"]["impostor"]) == (
        len(genuine),
        len(impostor),
    )
    assert [row["tar"] for row in result["tar_at_far"]] == [
        tar_by_sorting(genuine, impostor, far)[0] for far in (0.1, 0.02)
    ]
    assert "by_group" not in result and not all_to_all.comparable(mixed, Plan())


def test_a_group_is_measured_among_its_own_people_at_its_own_threshold(mixed) -> None:
    groups = {str(number): ("north" if number % 2 else "south") for number in range(11)} | {
        "somebody else": "west"
    }
    result = all_to_all.measure(mixed, Plan(fars=(0.1, 0.05), groups=groups)).result
    assert [row["group"] for row in result["by_group"]] == ["north", "south", "(none named)"]
    for row, own in zip(result["by_group"], ("north", "south", None), strict=True):
        mine = mixed.select(np.array([groups.get(name) == own for name in mixed.people]))
        genuine, impostor = listed(mine)
        assert row["comparisons"] == {"genuine": len(genuine), "impostor": len(impostor)}
        if own is None:
            assert row["tar_at_far"] == [] and "no impostor" in row["note"]
            continue
        for line, far in zip(row["tar_at_far"], (0.1, 0.05), strict=True):
            assert line["tar"] == tar_by_sorting(genuine, impostor, far)[0]
    north, south = (row["tar_at_far"][0]["threshold"] for row in result["by_group"][:2])
    assert north != south


def test_groups_that_name_nobody_are_refused(mixed) -> None:
    with pytest.raises(KitError, match="none of the people"):
        all_to_all.measure(mixed, Plan(fars=(0.1,), groups={"who": "north"}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("identity,race\na,x\n", "no column 'group'"),
        ("identity,group\na,\n", "line 2: an empty field"),
        ("identity,group\na\n", "line 2: an empty field"),
        ("identity,group\na,x\na,y\n", "line 3: a is in 'x' and in 'y'"),
        ("", "no column 'group'"),
    ],
)
def test_a_bad_csv_of_groups_is_named(tmp_path, text: str, words: str) -> None:
    (tmp_path / "groups.csv").write_text(text)
    with pytest.raises(KitError, match=words):
        read_groups(tmp_path / "groups.csv")
    with pytest.raises(KitError, match="cannot read the groups"):
        read_groups(tmp_path / "none.csv")


def test_the_score_is_a_quarter_mask_and_three_quarters_mr_all(mixed, monkeypatch) -> None:
    """At FARs this small set can carry, so that the sum can be recomputed by sorting."""
    monkeypatch.setattr(mask_nonmask, "MASK_FAR", 0.04)
    monkeypatch.setattr(nonmask_nonmask, "MR_ALL_FAR", 0.02)
    outcome = measure(mixed, Plan(fars=(0.3,)), ["mask-nonmask", "nonmask-nonmask"])
    found = scored(outcome)["m"]
    masked = tar_by_sorting(*listed(mixed.under("mask"), mixed.under("nonmask")), 0.04)[0]
    clean = tar_by_sorting(*listed(mixed.under("nonmask")), 0.02)[0]
    assert found["value"] == 0.25 * masked + 0.75 * clean and found["instead"] is None
    assert [(part["protocol"], part["far"]) for part in found["parts"]] == [
        ("mask-nonmask", 0.04),
        ("nonmask-nonmask", 0.02),
    ]
    assert (
        found["text"].startswith(f"{100 * found['value']:.2f} = 0.25 x ")
        and "at FAR 0.02" in found["text"]
    )


def test_the_challenges_far_are_refused_where_the_set_is_too_small(mixed) -> None:
    outcome = measure(mixed, Plan(fars=(0.3, 0.1, 1e-3)), ["mask-nonmask", "all-to-all"])
    found = scored(outcome)["m"]
    masked = tar_by_sorting(*listed(mixed.under("mask"), mixed.under("nonmask")), 0.1)[0]
    every = tar_by_sorting(*listed(mixed), 0.1)[0]
    assert found["value"] is None and found["instead"] == 0.25 * masked + 0.75 * every
    assert [(part["far"], part["far_used"]) for part in found["parts"]] == [
        (1e-4, 0.1),
        (1e-6, 0.1),
    ]
    assert (
        "smallest FAR it supports" in found["text"]
        and "not comparable" in found["text"]
        and "all-to-all at FAR 0.1" in found["text"]
    )
    nothing = measure(mixed, Plan(fars=(1e-3,)), ["mask-nonmask", "all-to-all"])
    assert scored(nothing)["m"]["instead"] is None
    assert scored(measure(mixed, Plan(fars=(0.1,)), ["mask-nonmask"])) is None


def test_the_scores_interval_resamples_people_for_both_halves_at_once(mixed, monkeypatch) -> None:
    """Recomputed from the resamples of each half; people of one half only leave no interval."""
    monkeypatch.setattr(mask_nonmask, "MASK_FAR", 0.04)
    monkeypatch.setattr(nonmask_nonmask, "MR_ALL_FAR", 0.02)
    outcome = measure(
        mixed, Plan(fars=(0.3,), resamples=50, seed=2), ["mask-nonmask", "nonmask-nonmask"]
    )
    found = scored(outcome)["m"]
    sums = (
        0.25 * outcome["mask-nonmask"].resampled["tar@far=0.04"]
        + 0.75 * outcome["nonmask-nonmask"].resampled["tar@far=0.02"]
    )
    low, high = np.quantile(sums, [0.025, 0.975])
    assert (found["interval"]["low"], found["interval"]["high"]) == (
        pytest.approx(low),
        pytest.approx(high),
    ) and low < high
    assert f"({100 * low:.1f}-{100 * high:.1f}) = 0.25 x" in found["text"]
    only = mixed.people[mixed.conditions == "mask"][0]
    fewer = mixed.select((mixed.people != only) | (mixed.conditions == "mask"))
    assert (
        scored(
            measure(fewer, Plan(fars=(0.3,), resamples=50), ["mask-nonmask", "nonmask-nonmask"])
        )["m"]["interval"]
        is None
    )


def test_the_command_prints_and_writes_groups_and_score(colour_models, tmp_path, capsys) -> None:
    write_faceset(tmp_path / "set", people=8)
    (tmp_path / "set" / "groups.csv").write_text(
        "identity,group\n" + "".join(f"p0{n},{'<odd>' if n % 2 else 'even'}\n" for n in range(8))
    )
    arguments = [
        "evaluate",
        "whole",
        "--data",
        str(tmp_path / "set"),
        "--far",
        "0.4",
        "--far",
        "0.2",
        "--resamples",
        "20",
    ]
    assert cli.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    page = (tmp_path / "out" / "report.html").read_text()
    rows = report["protocols"]["all-to-all"]["models"]["whole"]["by_group"]
    assert [row["group"] for row in rows] == ["<odd>", "even"] and rows[0]["tar_at_far"][0][
        "interval"
    ]
    assert "&lt;odd&gt;" in page and "<odd>" not in page and "<odd>" in text
    line = report["challenge"]["whole"]["text"]
    assert (
        "not comparable with the challenge's" in line
        and line in text
        and line.replace("'", "&#39;") in page
    )
