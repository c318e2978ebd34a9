"""What a large set costs is said before; a sample of its people answers with an interval that
holds the whole set's figure.
"""

import itertools
import json

import numpy as np
import pytest

from mfr_kit import cli
from mfr_kit.evaluation.protocols import nonmask_nonmask
from mfr_kit.evaluation.verification import cost
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.rates import Plan
from mfr_kit.seeding import rng_for
from tests.conftest import write_faceset
from tests.evaluation.tables import coarse, table


def test_the_prediction_extrapolates_from_timed_blocks(monkeypatch) -> None:
    """By a clock that says two seconds a look: 9 million comparisons of 3,000 x 3,000, five
    blocks of 1,024 x 3,000 at the most (three).
    """
    monkeypatch.setattr(cost, "perf_counter", itertools.count(0, 2).__next__)
    probe, gallery = coarse(rng_for(1), 3000, 50, lost=0), coarse(rng_for(2), 3000, 50, lost=0)
    pairs = Pairs(probe, gallery)
    count, minutes = cost.predict(pairs, sweeps=2)
    assert count == pairs.count.genuine + pairs.count.impostor and 8_900_000 < count <= 9_000_000
    assert minutes == pytest.approx(2 / 9_000_000 * count * 2 / 60)


def test_the_cost_of_a_large_sweep_is_told_first(monkeypatch) -> None:
    faces, said = coarse(rng_for(3), 80, 10, lost=0), []
    nonmask_nonmask.measure(faces, Plan(fars=(0.2,), tell=said.append))
    assert said == []
    monkeypatch.setattr(cost, "LARGE", 3000)
    nonmask_nonmask.measure(faces, Plan(fars=(0.2,), tell=said.append))
    assert len(said) == 1 and " comparisons, about " in said[0] and "minutes" in said[0]


def test_the_interval_of_a_sample_holds_the_figure_of_the_whole() -> None:
    """30 samples of 60 of 400 people: a 95 % interval misses the whole set's TAR rarely, and is
    not idle.
    """
    rng = rng_for(17)
    people = np.repeat(np.arange(400), 4)
    raw = rng.standard_normal((400, 16))[people] + 1.1 * rng.standard_normal((1600, 16))
    faces = table(raw / np.linalg.norm(raw, axis=1, keepdims=True), people)
    whole = nonmask_nonmask.measure(faces, Plan(fars=(1e-2,))).result["tar_at_far"][0]["tar"]
    held, widths = 0, []
    for number in range(30):
        chosen = rng_for(5, number).choice(400, 60, replace=False)
        some = faces.select(np.isin(people, chosen))
        span = nonmask_nonmask.measure(some, Plan(fars=(1e-2,), resamples=200)).result[
            "tar_at_far"
        ][0]["interval"]
        held += span["low"] <= whole <= span["high"]
        widths.append(span["high"] - span["low"])
    assert held >= 26 and np.mean(widths) < 0.2


@pytest.fixture
def evaluated(colour_models, tmp_path, capsys):
    write_faceset(tmp_path / "set", people=9)

    def call(*flags: str) -> tuple[int, str]:
        code = cli.main(
            ["evaluate", "whole", "--data", str(tmp_path / "set"), "--far", "0.4", *flags]
        )
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return call


def test_people_are_drawn_by_the_seed(evaluated, tmp_path) -> None:
    reports = []
    for seed in ("1", "1", "2"):
        code, text = evaluated(
            "--sample-people",
            "5",
            "--resamples",
            "9",
            "--seed",
            seed,
            "--out",
            str(tmp_path / "out"),
            "--force",
        )
        assert code == 0 and f"a sample: 5 of 9 people, drawn with --seed {seed}" in text
        reports.append(json.loads((tmp_path / "out" / "report.json").read_text()))
        assert "A sample:" in (tmp_path / "out" / "report.html").read_text()
    one, again, other = (report["set"] for report in reports)
    assert one == again and one["fingerprint"] != other["fingerprint"]
    assert one["people"] == 5 and one["sampled"] == {
        "people": 5,
        "of_people": 9,
        "of_faces": 72,
        "seed": 1,
    }
    code, text = evaluated("--sample-people", "9", "--resamples", "9")
    assert code == 0 and "a sample" not in text


def test_a_sample_without_its_interval_is_refused(evaluated) -> None:
    code, text = evaluated("--sample-people", "5", "--resamples", "0")
    assert code == 2 and "needs its interval" in text
    code, text = evaluated("--sample-people", "1")
    assert code == 2 and "--sample-people must be 2 or more" in text
