"""A teacher that leaves no trace in a student is not its ancestor: which tracks the student may
enter hangs on it.
"""

import shutil

import pytest
import torch

from mfr_kit.models import weights
from mfr_kit.training.distill import distill


@pytest.fixture
def another_teacher(teacher_folder, tmp_path):
    """A teacher like `teacher_folder` with other weights."""
    folder = tmp_path / "another"
    shutil.copytree(teacher_folder, folder)
    torch.manual_seed(6)
    weights.save_student(
        folder / weights.STUDENT, weights.build_backbone("mobilefacenet", 16, 0.125).state_dict()
    )
    return str(folder)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["arcface", "cosface", "adaface"])
def test_a_method_by_itself_learns_the_same_from_any_teacher(
    make_options, another_teacher, tmp_path, method
):
    options = {"method": method, "steps": 3, "fcd_weight": 0.0}
    one, other = (
        make_options(out=tmp_path / "one", **options),
        make_options(out=tmp_path / "other", teacher=another_teacher, **options),
    )
    runs = [weights.load_run(distill(made).parent) for made in (one, other)]
    states = [run.model.state_dict() for run in runs]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert [run.lineage["teacher"] for run in runs] == [None, None]
    assert not (tmp_path / "one" / "bank").exists()  # hours, for a set of millions


@pytest.mark.slow
def test_beside_fcd_the_teacher_is_an_ancestor(make_options, another_teacher, tmp_path):
    options = {"method": "arcface", "steps": 3}
    one, other = (
        make_options(out=tmp_path / "one", **options),
        make_options(out=tmp_path / "other", teacher=another_teacher, **options),
    )
    runs = [weights.load_run(distill(made).parent) for made in (one, other)]
    states = [run.model.state_dict() for run in runs]
    assert not all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert all(run.lineage["teacher"]["trained_on"] == ["made up"] for run in runs)
    assert (tmp_path / "one" / "bank").exists()
