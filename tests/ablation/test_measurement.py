"""What a record keeps of a set."""

import numpy as np
import pytest

from mfr_kit.ablation.measurement import measure_set
from mfr_kit.ablation.table import Measured
from mfr_kit.evaluation.agreement import measure_agreement
from mfr_kit.evaluation.inputs.embed import embed_set
from mfr_kit.evaluation.inputs.faces import from_set
from mfr_kit.evaluation.verification.rates import Plan
from tests.evaluation.fakes import ColourEmbedder

FARS = (0.3, 0.2)


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A model and its teacher, with a cache of their own."""
    monkeypatch.setenv("MFR_KIT_HOME", str(tmp_path / "home"))
    return ColourEmbedder("half", upper=True), ColourEmbedder()


def measured(models, faces, protocols):
    model, teacher = models
    entry = Measured("guard", faces.folder, None, FARS, protocols)
    return measure_set(model, entry, faces, 10, lambda: teacher)["protocols"]


def test_agreement_with_the_teacher_stands_beside_the_protocols(models, drawn_set):
    found = measured(models, drawn_set, ("nonmask-nonmask", "teacher-agreement"))
    assert list(found) == ["nonmask-nonmask", "teacher-agreement"]
    ours, theirs = (from_set(embed_set(model, drawn_set), drawn_set) for model in models)
    wanted = measure_agreement(ours, theirs, Plan(FARS, 10))
    for row, expected in zip(found["teacher-agreement"], wanted.result["tar_at_far"], strict=True):
        assert {key: row[key] for key in expected} == expected and 0 < row["tar"] < 1
        values = wanted.resampled[f"tar@far={row['far']:g}"]
        kept = np.array(row["resampled"], float)  # None where nobody of a pair was drawn
        np.testing.assert_allclose(kept, values, atol=1e-4)


def test_it_can_stand_alone_and_the_teacher_agrees_with_itself(models, drawn_set):
    found = measured((models[1], models[1]), drawn_set, ("teacher-agreement",))
    assert list(found) == ["teacher-agreement"]
    assert [row["tar"] for row in found["teacher-agreement"]] == [1.0, 1.0]


def test_a_teacher_that_no_protocol_asks_for_is_not_loaded(models, drawn_set):
    entry = Measured("plain", drawn_set.folder, None, FARS, None)

    def load():
        pytest.fail("the teacher was loaded")

    found = measure_set(models[0], entry, drawn_set, 0, load)
    assert "teacher-agreement" not in found["protocols"]
    assert {"nonmask-nonmask", "mask-nonmask"} <= set(found["protocols"])
