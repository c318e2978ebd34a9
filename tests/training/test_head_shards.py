"""A head divided over ranks: as two processes, what is drawn of it, and how it is kept."""

import copy
import pickle
import shutil
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from mfr_kit.errors import KitError
from mfr_kit.losses import _margin, _memory, _sharded_head
from mfr_kit.losses._margin import MarginHead, margin_softmax
from mfr_kit.losses._sharded_head import ShardedHead
from mfr_kit.losses._shards import ClassShard, divergence
from mfr_kit.losses.kd import Options as kd_options
from mfr_kit.losses.kd import distillation_loss
from mfr_kit.models import weights
from mfr_kit.training import checkpoint, head_rows, head_shards, networks
from mfr_kit.training.checkpoint_saver import CheckpointSaver
from mfr_kit.training.distill import distill
from mfr_kit.training.method import Method
from mfr_kit.training.ranks import Ranks
from mfr_kit.training.settings import Course, Descent, Division, HeadSpec, Layers
from mfr_kit.training.step import Stepper
from tests.training.start_ranks import spawn_ranks

PEOPLE, SIZE, BATCH = 7, 16, 6  # 7 people do not divide
KINDS = ("arcface", "cosface", "adaface")


def on_meta(kind: str, people: int = PEOPLE) -> MarginHead:
    with torch.device("meta"):
        return _margin.build(kind, people, SIZE, scale=8.0)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    student = torch.randn(BATCH, SIZE, generator=generator, dtype=torch.float64)
    return student, torch.tensor([0, 6, 3, 3, 5, 6])


def work(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    found = {}
    for kind in KINDS:
        torch.manual_seed(0)
        head = ShardedHead(on_meta(kind), ClassShard(PEOPLE, rank, world)).double()
        student, labels = (rows.chunk(world)[rank] for rows in batch())
        student = student.clone().requires_grad_()
        loss = head(student, labels, Ranks(rank, world).mean)
        (3 * loss).backward()  # as with a weight
        head.average_gradient()
        found[kind] = (loss.detach(), student.grad, head.weight.detach(), head.weight.grad)
    state = state_of("cosface", Ranks(rank, world))
    move(state)
    checkpoint_of(folder, state, Ranks(rank, world))
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    spawn_ranks(work, (2, str(folder)), 2)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_two_shards_give_the_loss_and_the_gradients_of_one_head(two_ranks, kind):
    torch.manual_seed(0)
    whole = _margin.build(kind, PEOPLE, SIZE, scale=8.0).double()
    student, labels = batch()
    student.requires_grad_()
    loss = whole(student, labels)
    (3 * loss).backward()
    parts = [torch.load(two_ranks / f"{rank}.pt")[kind] for rank in range(2)]
    losses, students, rows, gradients = zip(*parts, strict=True)
    torch.testing.assert_close(torch.stack(losses).mean(), loss.detach())
    # each rank's rows weigh twice in its own mean; DistributedDataParallel halves them
    torch.testing.assert_close(torch.cat(students) / 2, student.grad)
    assert torch.equal(torch.cat(rows), whole.weight.detach())
    torch.testing.assert_close(torch.cat(gradients), whole.weight.grad)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_that_of_finite_differences(kind):
    head = ShardedHead(on_meta(kind), ClassShard(PEOPLE)).double().eval()
    student, labels = batch()

    def loss(points, centres):
        return torch.func.functional_call(head, {"weight": centres}, (points, labels))

    inputs = (student.requires_grad_(), head.weight.detach().requires_grad_())
    if kind == "adaface":  # its margin follows the norms, which carry no gradient
        inputs = (student.detach(), inputs[1])
    assert torch.autograd.gradcheck(loss, inputs)


def test_the_divergence_over_shards_is_that_of_whole_logits():
    student, _ = batch()
    generator = torch.Generator().manual_seed(2)
    teacher, centres = (
        torch.randn(count, SIZE, generator=generator, dtype=torch.float64)
        for count in (BATCH, PEOPLE)
    )
    student.requires_grad_()
    found = divergence(student, teacher, centres, 3.0, ClassShard(PEOPLE))
    whole = distillation_loss(student @ centres.T, teacher @ centres.T, 3.0)
    torch.testing.assert_close(found, whole)
    (by_hand,) = torch.autograd.grad(whole, student)
    torch.testing.assert_close(torch.autograd.grad(found, student)[0], by_hand)


def test_a_clamped_cosine_and_a_student_of_zeros_are_as_in_the_whole_head():
    head = ShardedHead(on_meta("arcface"), ClassShard(PEOPLE)).double()
    student = torch.zeros(3, SIZE, dtype=torch.float64)
    student[0], student[1] = head.weight.detach()[2] * 9, head.weight.detach()[5]
    found = []
    for how in ("whole", "sharded"):
        points, centres = student.clone().requires_grad_(), nn.Parameter(head.weight.detach())
        labels = torch.tensor([2, 0, 1])
        loss = (
            margin_softmax(points, labels, centres, "arcface", 8.0, 0.5)
            if how == "whole"
            else torch.func.functional_call(head, {"weight": centres}, (points, labels))
        )
        loss.backward()
        found.append((loss.detach(), points.grad, centres.grad))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("people", [7, 32, 40, 47, 48, 49, 100])
@pytest.mark.parametrize("world", [1, 3])
def test_shards_begin_with_the_rows_of_the_whole_head(monkeypatch, people, world):
    monkeypatch.setattr(_sharded_head, "BLOCK", 32)
    torch.manual_seed(5)
    whole = _margin.build("arcface", people, SIZE).weight.detach()
    after = torch.rand(3)
    parts = []
    for rank in range(world):
        torch.manual_seed(5)
        head = ShardedHead(on_meta("arcface", people), ClassShard(people, rank, world))
        parts.append(head.weight.detach())
        assert torch.equal(torch.rand(3), after)  # and what is drawn next is the same
    assert torch.equal(torch.cat(parts), whole)


def test_negatives_are_drawn_alike_for_all_people_at_all_steps():
    """Each class is in with the probability asked for, independent of the others and of the step
    before: counts within 4.5 standard errors of a binomial's.
    """
    people, steps, share = 500, 400, 0.1
    head = ShardedHead(on_meta("arcface", people), ClassShard(people), negatives=share, seed=3)
    drawn = np.stack([head.draw(step).numpy() for step in range(steps)]).astype(float)

    def z_of(mean, expected, count):
        return (mean - expected) / np.sqrt(expected * (1 - expected) / count)

    assert abs(z_of(drawn.mean(), share, drawn.size)) < 4.5
    assert np.abs(z_of(drawn.mean(0), share, steps)).max() < 4.5
    assert np.abs(z_of(drawn.mean(1), share, people)).max() < 4.5
    again = (drawn[1:] * drawn[:-1]).mean()
    beside = (drawn[:, 1:] * drawn[:, :-1]).mean()
    assert abs(z_of(again, share**2, (steps - 1) * people)) < 4.5
    assert abs(z_of(beside, share**2, steps * (people - 1))) < 4.5
    # any number of ranks, any process: the same
    parts = [
        ShardedHead(
            on_meta("arcface", people), ClassShard(people, rank, 3), negatives=share, seed=3
        )
        for rank in range(3)
    ]
    assert torch.equal(torch.cat([part.draw(7) for part in parts]), head.draw(7))


def test_a_tenth_of_the_negatives_is_a_tenth_of_their_gradients_and_all_of_ones_own():
    """What Partial FC (arXiv 2203.15565) says of its sampling: positive centres are in every step,
    a negative one is passively updated in a share of the steps only; over the draws the sum over
    the negatives of exp(logit) is that share of the whole sum, within 5 standard errors.
    """
    people, steps, share = 300, 400, 0.1
    torch.manual_seed(0)
    head = ShardedHead(on_meta("cosface", people), ClassShard(people), negatives=share).double()
    student = torch.randn(4, SIZE, dtype=torch.float64)
    labels = torch.tensor([3, 3, 200, 299])
    cosine = nn.functional.normalize(student) @ nn.functional.normalize(head.weight.detach()).T
    logits = 8.0 * cosine
    own = 8.0 * (cosine[range(4), labels] - 0.4)
    touched, sums = np.zeros(people), []
    for step in range(steps):
        head.begin(step)
        head.weight.grad = None
        loss = head(student, labels)
        loss.backward()
        gradient = head.weight.grad.coalesce()
        touched[gradient.indices()[0]] += 1
        # the mean of the losses over four faces with two foreign centres among the positives
        kept = head.draw(step)
        kept[labels] = True
        others = logits.exp() * kept
        others[range(4), labels] = 0
        by_hand = ((own.exp() + others.sum(1)).log() - own).mean()
        torch.testing.assert_close(loss.detach(), by_hand)
        others[:, labels] = 0
        sums.append(others.sum(1).numpy())
    positive = np.unique(labels)
    assert (touched[positive] == steps).all()
    rates = np.delete(touched, positive) / steps
    error = np.sqrt(share * (1 - share) / steps)
    assert np.abs(rates - share).max() < 5 * error
    assert abs(rates.mean() - share) < 5 * error / np.sqrt(len(rates))
    whole = logits.exp()
    whole[:, labels] = 0
    sums = np.stack(sums)
    errors = sums.std(0) / np.sqrt(steps)
    assert (np.abs(sums.mean(0) - share * whole.sum(1).numpy()) < 5 * errors).all()


def state_of(kind: str, ranks: Ranks, optimiser: str = "sgd", **spec) -> checkpoint.State:
    torch.manual_seed(0)
    method = types.SimpleNamespace(
        name=kind, make_head=lambda people, size: _margin.build(kind, people, size)
    )
    head = head_shards.make_head(method, PEOPLE, SIZE, HeadSpec(True, **spec), ranks)
    descent = Descent(optimiser, 0.1, 0.01, 0.9)
    return networks.make_state(nn.Linear(3, SIZE), (SIZE, SIZE), head, descent, Layers(), False)


def move(state: checkpoint.State, labels=(0, 3, 3, 6)) -> None:
    """Take one step."""
    state.optimiser.zero_grad()
    state.head.begin(state.step)
    points = state.student(torch.arange(12.0).view(4, 3).sin())
    state.head(points, torch.tensor(labels)).backward()
    with head_shards.dense_gradients(state):
        head_shards.clip(state, 1.0)
        state.optimiser.step()
    state.step += 1


COURSE = Course(1, 10, 1, Division(1, 4))


def checkpoint_of(folder, state, ranks):
    saver = CheckpointSaver(Path(folder), ranks, COURSE.division)
    saver.save(state)
    saver.finish()


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_rows_that_are_not_drawn_neither_decay_nor_drift(optimiser):
    state = state_of("arcface", Ranks(), optimiser, negatives=0.3, seed=1)
    weight = state.head.weight
    for _ in range(12):
        before, state_before = weight.detach().clone(), copy.deepcopy(state.optimiser.state[weight])
        drawn = state.head.draw(state.step)
        drawn[[0, 3, 6]] = True
        move(state, labels=(0, 3, 3, 6))
        changed = (weight.detach() != before).any(dim=1)
        assert torch.equal(changed, drawn) and weight.shape == before.shape
        for name, moment in state.optimiser.state[weight].items():
            if moment.ndim:
                was = state_before.get(name, torch.zeros_like(moment))
                assert torch.equal((moment != was).any(dim=1), drawn)


def test_a_checkpoint_of_two_ranks_is_read_by_any_number(two_ranks):
    content = torch.load(two_ranks / weights.LAST, weights_only=True)
    place = two_ranks / content["head_rows"]
    assert "weight" not in content["head"]
    assert sorted(path.name for path in two_ranks.glob("last*")) == [place.name, weights.LAST]
    whole = head_rows.read(place, 0, PEOPLE)
    assert whole["weight"].shape == whole["momentum_buffer"].shape == (PEOPLE, SIZE)
    for world in (1, 2, 3):
        parts, moments = [], []
        for rank in range(world):
            state = state_of("cosface", Ranks(rank, world))
            assert checkpoint.restore(two_ranks, state, COURSE, head_shards.cut, echo=False)
            assert state.step == 1
            parts.append(state.head.weight.detach())
            moments.append(state.optimiser.state[state.head.weight]["momentum_buffer"])
        assert torch.equal(torch.cat(parts), whole["weight"])
        assert torch.equal(torch.cat(moments), whole["momentum_buffer"]) and whole["weight"].any()


def test_a_checkpoint_of_one_rank_is_read_by_two(tmp_path):
    state = state_of("cosface", Ranks())
    move(state)
    checkpoint_of(tmp_path, state, Ranks())
    for rank in range(2):
        part = state_of("cosface", Ranks(rank, 2))
        assert checkpoint.restore(tmp_path, part, COURSE, head_shards.cut, echo=False)
        own = slice(part.head.shard.start, part.head.shard.stop)
        assert torch.equal(part.head.weight, state.head.weight[own])


def damaged(folder, how):
    """Do something to the folder of rows."""
    content = torch.load(folder / weights.LAST, weights_only=True)
    how(folder / content["head_rows"])


@pytest.mark.parametrize(
    "how",
    [
        shutil.rmtree,
        lambda place: (place / ".metadata").write_bytes(b"no pickle"),
        lambda place: (place / ".metadata").write_bytes(pickle.dumps(Trap())),
        lambda place: (place / "__0_0.distcp").write_bytes(b""),
        lambda place: (place / "__1_0.distcp").unlink(),
    ],
)
def test_damaged_rows_are_refused(two_ranks, tmp_path, how):
    folder = shutil.copytree(two_ranks, tmp_path / "run")
    damaged(folder, how)
    state = state_of("cosface", Ranks())
    with pytest.raises(KitError, match=r"last-00000001 does not hold the head.*Delete both"):
        checkpoint.restore(folder, state, COURSE, head_shards.cut)
    assert state.step == 0


class Trap:
    """A pickle that runs something when it is loaded."""

    def __reduce__(self):
        return pytest.fail, ("it was run",)


def test_last_pt_names_no_place_outside(two_ranks, tmp_path):
    folder = shutil.copytree(two_ranks, tmp_path / "run")
    content = torch.load(folder / weights.LAST, weights_only=True)
    content["head_rows"] = f"../../{content['head_rows']}"
    torch.save(content, folder / weights.LAST)
    assert checkpoint.restore(
        folder, state_of("cosface", Ranks()), COURSE, head_shards.cut, echo=False
    )


def test_what_cannot_be_shared_is_refused():
    method = types.SimpleNamespace(
        name="fcd", shares_prototypes=False, make_head=lambda people, size: None
    )
    with pytest.raises(KitError, match=r"--method fcd .* no classification head"):
        head_shards.make_head(method, PEOPLE, SIZE, HeadSpec(True), Ranks())
    method.make_head = _memory.DistilledCentres
    with pytest.raises(KitError, match=r"keeps more than class centres; use --head whole"):
        head_shards.make_head(method, PEOPLE, SIZE, HeadSpec(True), Ranks())
    method.make_head = lambda people, size: _margin.build("arcface", people, size)
    kd = Method("kd", kd_options())
    assert head_shards.make_head(kd, PEOPLE, SIZE, HeadSpec(True), Ranks()) is None
    with pytest.raises(KitError, match=r"--negatives: --method kd compares all"):
        head_shards.make_head(kd, PEOPLE, SIZE, HeadSpec(True, 0.5), Ranks())
    with pytest.raises(KitError, match=r"9 ranks cannot share 7 people"):
        head_shards.make_head(method, PEOPLE, SIZE, HeadSpec(True), Ranks(0, 9))


def test_an_overflow_in_a_shard_leaves_the_step_out():
    state = state_of("arcface", Ranks())
    state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    state.head.weight.grad = torch.ones_like(state.head.weight)
    head_shards.share_overflow(state)
    assert (state.head.weight.grad == 1).all()
    state.head.weight.grad[2, 3] = torch.nan
    head_shards.share_overflow(state)
    assert torch.isinf(state.head.weight.grad).all()


@pytest.mark.slow
def test_a_run_with_few_negatives_goes_on_as_if_it_had_never_stopped(
    make_options, tmp_path, monkeypatch
):
    common = {"method": "arcface", "head": "sharded", "negatives": 0.3, "optimiser": "sgd"}
    whole = make_options(out=tmp_path / "whole", **common)
    distill(whole)
    stopped, real = replace(whole, out=tmp_path / "stopped"), Stepper.step

    def step(self, state, *others):
        if state.step == 3:
            raise KeyboardInterrupt
        return real(self, state, *others)

    monkeypatch.setattr(Stepper, "step", step)
    with pytest.raises(KeyboardInterrupt):
        distill(stopped)
    monkeypatch.setattr(Stepper, "step", real)
    distill(replace(stopped, resume=True))
    ends = [torch.load(run.out / weights.LAST, weights_only=True) for run in (whole, stopped)]
    for name in ("student", "head"):
        for key, value in ends[0][name].items():
            assert torch.equal(value, ends[1][name][key]), key
    # and a run goes on with the whole head, where all negatives are looked at
    other = replace(whole, out=tmp_path / "other", negatives=1.0)
    distill(other)
    distill(replace(other, head="whole", resume=True))


def test_a_run_of_kd_with_shared_prototypes_is_one_with_all(make_options, tmp_path):
    common = {"method": "kd", "steps": 2, "optimiser": "sgd"}
    runs = [make_options(out=tmp_path / head, head=head, **common) for head in ("whole", "sharded")]
    whole, shared = (weights.read_state(distill(options)) for options in runs)
    torch.testing.assert_close(shared, whole, rtol=1e-4, atol=1e-5)


def test_negatives_want_a_sharded_head(make_options):
    with pytest.raises(KitError, match=r"--negatives 0.3 .* --head sharded"):
        make_options(method="arcface", negatives=0.3)
