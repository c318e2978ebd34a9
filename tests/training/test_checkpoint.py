"""A damaged last.pt is refused as a whole, in one line that says what does not fit."""

import math

import pytest
import torch

from mfr_kit.errors import KitError
from mfr_kit.training import checkpoint
from tests.side_files import _state, course, make_checkpoint


def change(folder, how) -> None:
    content = torch.load(folder / "last.pt", weights_only=True)
    how(content)
    torch.save(content, folder / "last.pt")


def into(*keys, value):
    """Return what puts a value at a place in nested tables and lists."""

    def put(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return put


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda content: content.pop("optimiser"), "'optimiser' is missing"),
        (into("student", "0.weight", value=[1]), "'student': 0.weight is list"),
        (into("student", "0.weight", value=torch.full((4, 3), math.nan)), "0.weight is not finite"),
        (into("student", "0.weight", value=torch.zeros(4, 3).half()), "is torch.float16"),
        (into("head", "weight", value=torch.zeros(3, 4)), r"1 of another shape: weight \(3, 4\)"),
        (into("initial", value={}), "'initial': .* missing or too many"),
        (into("average", value=None), "'average' is there or missing"),
        (into("step", value=-1), "'step' is -1"),
        (into("step", value=11), "'step' is 11, not a whole number from 0 to 10"),
        (into("best", value=math.nan), "'best' is nan"),
        (into("world_size", value=0), "'world_size' is 0, not a whole number from 1"),
        (into("batch_size", value=8.0), "'batch_size' is 8.0"),
        (into("torch_rng", value=torch.zeros(3)), "'torch_rng' is torch.float32"),
        (into("optimiser", "param_groups", 0, "weight_decay", value=9.0), "'weight_decay'"),
        (into("optimiser", "param_groups", 0, "lr", value="x"), "'lr' of group 0"),
        (into("optimiser", "state", 0, value={}), "the state of parameter 0"),
        (into("optimiser", "state", 99, value={}), "parameter 99 that there is not"),
        (into("optimiser", "state", 1, "exp_avg", value=torch.zeros(2)), "parameter 1: exp_avg"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_taken(tmp_path, how, message):
    make_checkpoint(tmp_path)
    change(tmp_path, how)
    state = _state(tmp_path)
    before = {key: value.clone() for key, value in state.student.state_dict().items()}
    random = torch.get_rng_state()
    with pytest.raises(KitError, match=rf"last\.pt.*{message}.*Delete it") as caught:
        checkpoint.restore(tmp_path, state, course())
    assert "\n" not in str(caught.value)
    assert state.step == 0 and torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(value, state.student.state_dict()[key]) for key, value in before.items())


def test_what_is_whole_is_taken(tmp_path):
    make_checkpoint(tmp_path)
    state = _state(tmp_path)
    assert checkpoint.restore(tmp_path, state, course())
    assert (state.step, state.best) == (2, 0.5)
    assert state.optimiser.state_dict()["state"][0]["step"] == 2


@pytest.mark.parametrize(("world", "batch_size"), [(1, 16), (4, 4), (16, 1)])
def test_a_batch_may_be_divided_among_other_ranks(tmp_path, capsys, world, batch_size):
    make_checkpoint(tmp_path)
    state = _state(tmp_path)
    assert checkpoint.restore(tmp_path, state, course(world, batch_size))
    assert state.step == 2
    said = capsys.readouterr().out
    assert f"before 2 rank(s) of 8 faces, {world} rank(s) of {batch_size} faces" in said


@pytest.mark.parametrize(
    ("world", "batch_size", "advice"),
    [
        (
            4,
            8,
            "2 rank(s) of 8 faces, 16 together, and 4 rank(s) of 8 faces are 32: "
            "give --batch-size 4",
        ),
        (3, 8, "start a number of ranks that divides 16"),
    ],
)
def test_batches_of_another_size_are_refused_with_what_would_do(
    tmp_path, world, batch_size, advice
):
    make_checkpoint(tmp_path)
    state = _state(tmp_path)
    with pytest.raises(KitError) as caught:
        checkpoint.restore(tmp_path, state, course(world, batch_size))
    assert advice in str(caught.value)
    assert state.step == 0
