"""Each method's loss as a function for somebody else's training loop: a scalar, no gradient for
the teacher, and an error that says what to do for every wrong tensor.
"""

import doctest
import inspect

import pytest
import torch

from mfr_kit import losses, registry
from mfr_kit.errors import KitError
from mfr_kit.losses import _margin, _memory, coupleface, fcd
from mfr_kit.losses.coupleface import compare_relations
from mfr_kit.losses.srt import restrain_triplets

PLAIN = dir(losses)
PARAMETERS = {name: inspect.signature(getattr(losses, name)).parameters for name in PLAIN}
PAIRED = [name for name in PLAIN if "teacher" in PARAMETERS[name]]
SIZE_FREE = (
    "distance_loss",
    "angle_loss",
    "similarity_preserving_loss",
    "correlation_loss",
    "ranking_loss",
    "evaluation_loss",
)


def call(name: str, student, teacher=None, **others):
    """Call a plain loss with what it needs beside the embeddings."""
    count, size, classes = student.shape[0], 8, 10
    needed = {
        "labels": torch.arange(count),
        "partners": torch.ones(count, 3, size),
        "centres": torch.eye(classes, size),
        "positives": torch.ones(count, size),
        "thresholds": _memory.Thresholds(6),
        "banks": _memory.Banks(classes, size, 2),
        "memory": _memory.Contrast(classes, size)
        if name == "contrast_loss"
        else _memory.Queue(size, 16),
    }
    own = {key: value for key, value in needed.items() if key in PARAMETERS[name]} | others
    given = (student, teacher) if name in PAIRED else (student,)
    return getattr(losses, name)(*given, **own)


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return torch.randn(6, 8).requires_grad_(), torch.randn(6, 8).requires_grad_()


def test_every_method_has_one():
    homes = {getattr(losses, name).__module__.rpartition(".")[2] for name in PLAIN}
    assert {home.replace("_", "-") for home in homes} == set(registry.names("mfr_kit.losses"))


@pytest.mark.parametrize("name", PLAIN)
def test_it_is_a_scalar_that_moves_the_student_alone(name, pair):
    student, teacher = pair
    loss = call(name, student, teacher)
    loss.backward()
    assert loss.shape == ()
    assert torch.isfinite(student.grad).all()
    assert teacher.grad is None


@pytest.mark.parametrize("name", PLAIN)
def test_no_tensor_and_no_embeddings_are_named(name, pair):
    student, teacher = pair
    with pytest.raises(KitError, match=r"student: a numpy\.ndarray is no tensor"):
        call(name, student.detach().numpy(), teacher)
    with pytest.raises(KitError, match=r"student must be \(B, D\) embeddings.*\(6, 8, 1\)"):
        call(name, student.unsqueeze(2), teacher)
    with pytest.raises(KitError, match="student is int64"):
        call(name, student.long(), teacher)
    with pytest.raises(KitError, match=r"student holds no samples|at least two samples"):
        call(name, student[:0], teacher)


@pytest.mark.parametrize("name", PAIRED)
def test_a_teacher_that_does_not_fit_is_named(name, pair):
    student, teacher = pair
    with pytest.raises(KitError, match="student has 6 rows and teacher 5"):
        call(name, student, teacher[:5])
    with pytest.raises(KitError, match=r"teacher float64: bring both to one type"):
        call(name, student, teacher.double())
    with pytest.raises(KitError, match=r"teacher on meta: move it with teacher\.to"):
        call(name, student, teacher.to("meta"))
    if name not in SIZE_FREE:
        with pytest.raises(KitError, match="8 numbers and teacher of 7: put a projector"):
            call(name, student, teacher[:, :7])


@pytest.mark.parametrize(
    "name",
    ["arcface_loss", "cosface_loss", "adaface_loss", "distilled_centres_loss"],
)
def test_labels_and_centres_that_do_not_fit_are_named(name, pair):
    student, _ = pair
    for labels, complaint in (
        ([0] * 6, "labels: a list is no tensor"),
        (torch.zeros(6), r"labels are float32.*labels\.long"),
        (torch.zeros(5, dtype=torch.int64), r"labels must be \(6,\)"),
        (torch.arange(6) + 5, r"labels lie in 5 \.\. 10, for 10 centres .* 0 \.\. 9"),
        (torch.arange(6) - 1, r"labels lie in -1 \.\. 4"),
    ):
        with pytest.raises(KitError, match=complaint):
            call(name, student, labels=labels)
    with pytest.raises(KitError, match="centres have 7 numbers and student embeddings 8"):
        call(name, student, centres=torch.eye(10, 7))
    with pytest.raises(KitError, match="scale must be above 0"):
        call(name, student, scale=0.0)


def test_partners_that_do_not_fit_are_named(pair):
    for partners, complaint in (
        (torch.ones(6, 8), "partners must be .*K partners a sample"),
        (torch.ones(5, 3, 8), r"partners must be \(6, K >= 1, 8\), found \(5, 3, 8\)"),
        (torch.ones(6, 0, 8), r"found \(6, 0, 8\)"),
        (torch.ones(6, 3, 8).double(), "student is float32 and partners float64"),
    ):
        with pytest.raises(KitError, match=complaint):
            call("relation_aware_loss", *pair, partners=partners)
    with pytest.raises(KitError, match=r"unknown form 'hing'\. Did you mean 'hinge'"):
        call("relation_aware_loss", *pair, form="hing")
    with pytest.raises(KitError, match=r"tolerance is a difference of cosines.*found -0\.1"):
        call("relation_aware_loss", *pair, tolerance=-0.1)


@pytest.mark.parametrize("kind", ["arcface", "cosface"])
def test_a_margin_loss_equals_its_head(kind, batch):
    head = _margin.build(kind, 5, 8).double()
    plain = getattr(losses, f"{kind}_loss")(batch.student, batch.labels, head.weight)
    assert plain.item() == head(batch.student, batch.labels).item()


def test_a_plain_loss_equals_what_the_method_trains_by(batch):
    relation = losses.relation_aware_loss(batch.student, batch.teacher, batch.partners)
    wanted = compare_relations(batch.student, batch.teacher, batch.partners)[0]
    assert relation.item() == wanted.item() > 0
    triplet = losses.self_restrained_triplet_loss(batch.student, batch.teacher, batch.labels)
    assert triplet.item() == restrain_triplets(batch.student, batch.teacher, batch.labels)[0].item()


def test_an_unknown_loss_gets_its_nearest():
    with pytest.raises(AttributeError, match="Did you mean 'relation_aware_loss'"):
        _ = losses.relation_awar_loss
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = losses.nothing


@pytest.mark.parametrize("module", [coupleface, fcd])
def test_the_examples_hold(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed
