"""An ONNX file as a student: train, resume, average, export, and what a run keeps of it."""

import itertools
import json
from dataclasses import replace

import onnx
import pytest
import torch

from mfr_kit import options as flags
from mfr_kit.errors import KitError
from mfr_kit.losses._batch import unit
from mfr_kit.models import weights
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.parity import colour_faces, cosine_difference
from mfr_kit.submission.export import export_own, export_run
from mfr_kit.training import distill as loop
from mfr_kit.training import own_space
from mfr_kit.training.average import average
from mfr_kit.training.average_options import AverageOptions
from mfr_kit.training.distill import distill
from tests.models.onnx_models.students import SIZE, attention_net, conv_net
from tests.training.start_ranks import start_ranks


@pytest.fixture
def theirs(tmp_path):
    path = tmp_path / "theirs.onnx"
    onnx.save(conv_net(1), path)
    return path


@pytest.fixture
def options_of(make_options, theirs):
    """Options of a short run with an ONNX student."""

    def make(**changes):
        return make_options(**{"student": f"{theirs}:imagenet", "width": 1.0, **changes})

    return make


def test_a_run_begins_as_the_file_and_ends_as_an_export_of_its_student(options_of, theirs):
    options = options_of(learning_rate=1e-9, ema=0.5)
    distill(options)
    faces = colour_faces(3)
    wanted = load_embedder(f"{theirs}:imagenet").embed(faces)
    student = load_embedder(options.out)
    assert student.normalisation == "imagenet"
    assert cosine_difference(wanted, student.embed(faces)).max() < 1e-6
    exported = export_run(options.out)
    assert max(exported.parity.values()) < 1e-6
    again = load_embedder(exported.path)  # which says itself what it takes
    assert (again.normalisation, again.embedding_size, again.batch) == ("imagenet", SIZE, None)
    assert cosine_difference(wanted, again.embed(faces)).max() < 1e-6
    run = weights.load_run(options.out)
    assert run.lineage["initial_weights"]["name"] == "theirs.onnx"
    assert run.config["embedding_size"] == SIZE
    turn = run.projector  # the teacher has 16: its columns stay what they are, a turn
    torch.testing.assert_close(turn.T @ turn, torch.eye(SIZE), atol=1e-4, rtol=0)


def test_every_weight_moves_and_statistics_only_where_they_may(options_of, tmp_path):
    frozen, free = options_of(out=tmp_path / "a"), options_of(out=tmp_path / "b", freeze_bn=False)
    states = [weights.read_state(distill(options)) for options in (frozen, free)]
    start = weights.load_run(frozen.out).model
    begin = weights.read_file(frozen.out / weights.LAST)["initial"]
    for name, _ in start.named_parameters():
        assert not torch.equal(states[0][name], begin[name]), name
    mean = "weights.stem.norm.running_mean"
    assert torch.equal(states[0][mean], begin[mean])
    assert not torch.equal(states[1][mean], begin[mean])
    assert torch.equal(states[1]["weights.mean"], begin["weights.mean"])


class Killed(BaseException):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("is_gone", [False, True])
def test_a_resumed_run_ends_as_an_undisturbed_one_even_without_the_file(
    options_of, theirs, tmp_path, monkeypatch, is_gone
):
    whole = options_of(out=tmp_path / "whole", freeze_bn=False)
    distill(whole)
    real, counter = loop.Stepper.step, itertools.count()

    def step(self, *arguments):
        if next(counter) == 3:
            raise Killed
        return real(self, *arguments)

    killed = replace(whole, out=tmp_path / "killed")
    monkeypatch.setattr(loop.Stepper, "step", step)
    with pytest.raises(Killed):
        distill(killed)
    monkeypatch.setattr(loop.Stepper, "step", real)
    if is_gone:
        theirs.unlink()
    distill(replace(killed, resume=True))
    first, second = (weights.read_state(run.out / weights.STUDENT) for run in (whole, killed))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    lineages = [json.loads((run.out / weights.LINEAGE).read_text()) for run in (whole, killed)]
    assert lineages[0] == lineages[1]


def test_first_layers_stay_and_rates_fall_by_layer(options_of):
    options = options_of(freeze_layers=1, layer_decay=0.5, optimiser="sgd", steps=2)
    end = weights.read_state(distill(options))
    content = weights.read_file(options.out / weights.LAST)
    stays = {"stem.weight", "stem.slope", "stem.norm.weight", "stem.norm.bias"}
    begin = content["initial"]
    model = weights.load_run(options.out).model
    for name, _ in model.named_parameters():
        assert torch.equal(end[name], begin[name]) == (name.removeprefix("weights.") in stays)
    factors = sorted({group["factor"] for group in content["optimiser"]["param_groups"]})
    assert factors == [0.25, 0.5, 1.0]


def test_runs_of_one_file_are_averaged(options_of, tmp_path):
    path, runs, out = tmp_path / "as_large.onnx", [], tmp_path / "mean"
    onnx.save(conv_net(size=16), path)  # as the teacher
    for seed in (0, 1):
        options = options_of(
            out=tmp_path / f"run{seed}", seed=seed, steps=2, student=f"{path}:imagenet"
        )
        distill(options)
        runs.append(options.out)
    average(AverageOptions(runs=runs, out=out, weight_share=0.5))
    begin = weights.read_file(runs[0] / weights.LAST)["initial"]
    states = [weights.read_state(run / weights.STUDENT) for run in runs]
    found = weights.read_state(out / weights.STUDENT)
    for name, value in begin.items():
        if value.is_floating_point():
            wanted = (value + (states[0][name] + states[1][name]) / 2) / 2
            torch.testing.assert_close(found[name], wanted)
    assert load_embedder(out).normalisation == "imagenet"


def test_runs_of_two_files_are_not_averaged(options_of, tmp_path):
    path, runs = tmp_path / "theirs.onnx", []
    for opset in (11, 14):
        onnx.save(attention_net(False, opset), path)
        options = options_of(out=tmp_path / f"run{opset}", steps=1, student=f"{path}:imagenet")
        distill(options)
        runs.append(options.out)
    with pytest.raises(KitError, match="these graphs differ"):
        average(AverageOptions(runs=runs, out=tmp_path / "mean"))


def test_the_attention_student_trains_and_comes_back(options_of, tmp_path):
    path = tmp_path / "vit.onnx"
    onnx.save(attention_net(True), path)
    options = options_of(student=f"{path}:minus1_to_1", steps=2)
    distill(options)
    path.unlink()
    assert load_embedder(options.out).embed(colour_faces(2)).shape == (2, SIZE)
    assert max(export_run(options.out).parity.values()) < 1e-6


def test_a_run_starts_from_another_run_of_the_same_file(options_of, theirs, tmp_path):
    first = options_of(out=tmp_path / "first", steps=2)
    distill(first)
    second = options_of(out=tmp_path / "second", init=str(first.out), learning_rate=1e-9, steps=1)
    distill(second)
    faces = colour_faces(2)
    found = [load_embedder(run.out).embed(faces) for run in (first, second)]
    assert cosine_difference(*found).max() < 1e-6


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"width": 0.5}, "--width 0.5 is not for"),
        ({"init": "teacher"}, "--init teacher is not for"),
        ({"recompute": True}, "--recompute is not for"),
        ({"embedding_size": 7}, "--embedding-size 7: .* has 12"),
        ({"student": "nothing.onnx"}, "no such file"),
        ({"student": "nothing.pt"}, "nothing.pt"),
    ],
)
def test_what_such_a_student_cannot_have_is_refused(options_of, changes, reason):
    with pytest.raises(KitError, match=reason):
        distill(options_of(**changes))


def test_a_file_that_does_not_say_its_input_is_refused(options_of, theirs):
    with pytest.raises(KitError, match="does not say how its input is normalised"):
        distill(options_of(student=str(theirs)))


def test_weights_of_a_damaged_run_are_refused(options_of):
    options = options_of(steps=1)
    distill(options)
    graph = options.out / weights.GRAPH
    whole = graph.read_bytes()
    graph.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(KitError, match=r"graph\.onnx"):
        weights.load_run(options.out)
    graph.unlink()
    with pytest.raises(KitError, match="'student'"):
        weights.load_run(options.out)


@pytest.mark.slow
def test_two_ranks_do_what_one_does(options_of, tmp_path):
    common = {"method": "arcface", "head": "sharded", "log_every": 1, "optimiser": "sgd"}
    common |= {"learning_rate": 1e-3, "steps": 3, "freeze_bn": True, "ema": 0.5}
    one = options_of(out=tmp_path / "one", batch_size=8, **common)
    distill(one)
    # the bank is there: what is compared is the steps
    two = replace(one, out=tmp_path / "two", batch_size=4, bank=one.out / "bank")
    config = tmp_path / "two.toml"
    config.write_text(weights.to_toml(flags.as_dict(two)))
    given = ["distill", "--config", str(config)]
    script = f"from mfr_kit import cli; import sys; sys.exit(cli.main({given!r}))"
    found = start_ranks(script, 2)
    assert {code for code, _ in found} == {0}, found
    first, second = (weights.read_state(run.out / weights.STUDENT) for run in (one, two))
    for key, value in first.items():
        torch.testing.assert_close(second[key], value, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", ["theirs.onnx", "runs"])
def test_a_backbone_starts_from_an_export_of_its_names_or_is_told_what_takes_it(
    make_options, options_of, theirs, name
):
    if name == "theirs.onnx":
        with pytest.raises(KitError, match="do not fit this MobileFaceNet"):
            distill(make_options(init=str(theirs), steps=1))
        return
    first = options_of(steps=1)
    distill(first)
    exported = export_run(first.out).path
    again = options_of(out=first.out.parent / "again", student=str(exported), steps=1)
    distill(again)  # which says its input itself
    assert load_embedder(again.out).normalisation == "imagenet"


@pytest.mark.parametrize(("own", "theirs"), [(12, 16), (12, 12), (16, 12)])
def test_a_turn_brings_a_space_onto_the_teachers(own, theirs):
    torch.manual_seed(4)
    many, few = max(own, theirs), min(own, theirs)
    basis = torch.linalg.qr(torch.randn(many, many))[0][:, :few]
    seen = torch.randn(200, own)
    targets = seen @ basis.T if theirs > own else seen[:, :few] @ basis if own == theirs else None
    if targets is None:  # a larger space holds the teacher's in some of its directions
        targets = torch.randn(200, theirs)
        seen = targets @ basis.T
    turn = own_space.turn_between(3 * seen, targets)
    assert turn.shape == (theirs, own)
    torch.testing.assert_close(unit(seen @ turn.T), unit(targets), atol=1e-4, rtol=0)


def test_a_student_of_the_teachers_size_begins_near_it(options_of, tmp_path, teacher_folder):
    """An export of the teacher whose embeddings are turned: without the turn back the first loss
    is that of strangers, about 2.
    """
    path = tmp_path / "turned.onnx"
    torch.manual_seed(6)
    model = weights.load_run(teacher_folder).model
    turned = torch.nn.Sequential(model, torch.nn.Linear(16, 16, bias=False))
    torch.nn.init.orthogonal_(turned[1].weight)
    export_own(turned, path)
    options = options_of(student=str(path), steps=1, method="fcd", mask_ratio=0.0, photometric=0.0)
    distill(options)
    [line] = [json.loads(line) for line in (options.out / "metrics.jsonl").read_text().splitlines()]
    assert line["loss"] < 0.5
