import tomllib

import pytest
import torch
from torch import nn

from mfr_kit.errors import KitError
from mfr_kit.models import weights


def test_a_run_comes_back_in_eval_mode_with_the_same_weights(tmp_path, make_run):
    model = make_run(tmp_path)
    run = weights.load_run(tmp_path)
    assert not run.model.training
    assert run.lineage == {"training_sets": []}
    assert run.embedding_size == 16
    assert run.fingerprint == weights.sha256_of(tmp_path / "student.pt")
    for key, value in model.state_dict().items():
        assert torch.equal(value, run.model.state_dict()[key]), key
    assert weights.load_run(tmp_path / "student.pt").fingerprint == run.fingerprint


def test_what_is_no_finished_run_is_named(tmp_path, make_run):
    with pytest.raises(KitError, match="not a run folder"):
        weights.load_run(tmp_path)
    make_run(tmp_path)
    (tmp_path / "student.pt").unlink()
    with pytest.raises(KitError, match="--resume"):
        weights.load_run(tmp_path)


def test_weights_load_strictly_and_name_every_kind_of_misfit():
    model = nn.Sequential(nn.Linear(3, 2))
    state = {"0.weight": torch.zeros(2, 4), "1.bias": torch.zeros(2)}
    before = model[0].weight.clone()
    with pytest.raises(
        KitError,
        match=r"1 missing: 0\.bias; 1 unexpected: 1\.bias; 1 of another shape: 0\.weight \(2, "
        r"4\) for \(2, "
        r"3\)",
    ):
        weights.load_state(model, state, "x.pt")
    assert torch.equal(model[0].weight, before)


def test_a_file_that_would_run_code_or_is_broken_is_refused(tmp_path):
    (tmp_path / "broken.pt").write_bytes(b"not weights")
    torch.save(nn.Linear(1, 1), tmp_path / "pickle.pt")
    torch.save([1], tmp_path / "list.pt")
    for name in ("broken", "pickle", "list", "missing"):
        with pytest.raises(KitError, match=f"{name}.pt"):
            weights.read_state(tmp_path / f"{name}.pt")


def test_a_failed_save_leaves_the_old_file_and_no_litter(tmp_path):
    weights.save(tmp_path / "a.pt", {"x": torch.ones(1)})
    with pytest.raises(Exception, match="pickle"):
        weights.save(tmp_path / "a.pt", {"x": lambda: 0})
    assert torch.equal(weights.read_state(tmp_path / "a.pt")["x"], torch.ones(1))
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_toml_comes_back_as_it_went():
    values = {
        "a": 'with "quotes", \\ and\nnewline é',
        "b": 0.5,
        "c": 3,
        "d": True,
        "e": ["x", "y"],
        "f": 1e-05,
        "left_out": None,
    }
    assert tomllib.loads(weights.to_toml(values)) == {
        name: value for name, value in values.items() if value is not None
    }
