"""The methods that remember earlier batches, each against loops over a few batches."""

import math

import numpy as np
import pytest
import torch

from mfr_kit import losses
from mfr_kit.errors import KitError
from mfr_kit.losses import _memory, adadistill
from mfr_kit.losses._batch import Batch
from mfr_kit.losses.ekd import RATES
from tests.losses.loops import cosine, kl, turned_softmax

CLASSES, SIZE = 5, 8
# the first has two samples of one identity, the last three
LABELS = ([0, 1, 2, 3, 4, 0], [4, 3, 1, 2, 0, 2], [1, 1, 1, 0, 3, 4])


@pytest.fixture
def batches():
    rng = torch.Generator().manual_seed(11)
    found = []
    for labels in LABELS:
        teacher = torch.randn(6, SIZE, generator=rng, dtype=torch.float64)
        student = teacher + 0.5 * torch.randn(6, SIZE, generator=rng, dtype=torch.float64)
        found.append((student, teacher, torch.tensor(labels)))
    return found


def normed(a):
    return a / np.linalg.norm(a)


def close(found, wanted, rtol=1e-7):
    np.testing.assert_allclose(found.item(), wanted, rtol=rtol)


def test_adadistills_centres_follow_the_teacher(batches):
    torch.manual_seed(0)
    head = _memory.DistilledCentres(CLASSES, SIZE).double()
    centres = [row.copy() for row in head.centres.numpy()]
    for student, teacher, labels in batches:
        moves = {y: [] for y in range(CLASSES)}
        for s, t, y in zip(student.numpy(), teacher.numpy(), labels.tolist(), strict=True):
            lam = min(max(cosine(centres[y], t), 1e-6), 1)
            kept = min(max(cosine(s, t) * lam, 1e-6), 1)
            moves[y].append(kept * centres[y] + (1 - kept) * normed(t))
        for y, found in moves.items():
            if found:
                centres[y] = np.mean(found, axis=0)
        head.follow(student, teacher, labels)
        np.testing.assert_allclose(head.centres.numpy(), centres, rtol=1e-10)
        wanted = np.mean(
            [
                turned_softmax(s, centres, y, 64, 0.45)
                for s, y in zip(student.numpy(), labels.tolist(), strict=True)
            ]
        )
        close(losses.distilled_centres_loss(student, labels, head.centres), wanted, rtol=1e-6)


@pytest.mark.parametrize("negatives", [16384, 2])
def test_crd_contrasts_with_memories_of_others(batches, negatives, monkeypatch):
    torch.manual_seed(0)
    memory = _memory.Contrast(CLASSES, SIZE, width=4, negatives=negatives).double()
    drawn = []
    choose = memory._choose
    monkeypatch.setattr(memory, "_choose", lambda labels: drawn.append(choose(labels)) or drawn[-1])
    kept = memory.memory.numpy().copy()
    layers = [
        (layer.weight.detach().numpy(), layer.bias.detach().numpy())
        for layer in (memory.student, memory.teacher)
    ]
    norms = [None, None]
    for student, teacher, labels in batches:
        found = losses.contrast_loss(student, teacher, labels, memory)
        chosen = drawn[-1].tolist()
        sides = [
            [normed(weight @ row + bias) for row in side.numpy()]
            for side, (weight, bias) in zip((student, teacher), layers, strict=True)
        ]
        total = 0.0
        for number, side in enumerate(sides):
            powers = [
                [math.exp(kept[1 - number][j] @ row / 0.07) for j in chosen[i]]
                for i, row in enumerate(side)
            ]
            norms[number] = norms[number] or np.mean(powers) * CLASSES
            for i, own in enumerate(powers):
                count = len(own) - 1
                assert chosen[i][0] == labels[i]
                assert labels[i] not in chosen[i][1:]
                assert count == min(negatives, CLASSES - 1)
                likely = [value / norms[number] for value in own]
                noise = count / CLASSES
                total -= math.log(likely[0] / (likely[0] + noise + 1e-7))
                total -= sum(math.log(noise / (value + noise + 1e-7)) for value in likely[1:])
        close(found, total / len(labels), rtol=1e-6)
        for number, side in enumerate(sides):
            for y in set(labels.tolist()):
                mean = np.mean([side[i] for i in range(6) if labels[i] == y], axis=0)
                kept[number][y] = normed(0.5 * kept[number][y] + 0.5 * mean)
        np.testing.assert_allclose(memory.memory.numpy(), kept, rtol=1e-5)


def test_crds_draw_is_that_of_its_step():
    """So a resumed run draws what an undisturbed one draws."""
    labels = torch.arange(6)
    heads = [_memory.Contrast(100, SIZE, negatives=10) for _ in range(2)]
    first = heads[0]._choose(labels)
    assert torch.equal(first, heads[1]._choose(labels))
    assert first[:, 1:].unique().numel() > 10  # each sample its own
    heads[1].steps += 1
    assert not torch.equal(first, heads[1]._choose(labels))


def test_ekd_counts_the_thresholds_that_pairs_pass(batches):
    thresholds = _memory.Thresholds(len(RATES)).double()
    limits = None
    for student, teacher, labels in batches:
        pairs = [(i, j) for i in range(6) for j in range(i + 1, 6)]
        same = [pair for pair in pairs if labels[pair[0]] == labels[pair[1]]]
        others = [pair for pair in pairs if labels[pair[0]] != labels[pair[1]]]
        near = [
            {(i, j): cosine(side[i], side[j]) for i, j in pairs}
            for side in (student.numpy(), teacher.numpy())
        ]
        found = []
        for side in near:
            ordered = sorted((side[pair] for pair in others), reverse=True)
            found.append([ordered[int(len(ordered) * rate)] for rate in RATES])
        found = np.array(found)
        limits = found if limits is None else 0.99 * limits + 0.01 * found

        def count(number, pair, limits=limits, near=near):
            return sum(
                1 / (1 + math.exp(-(near[number][pair] - limit) / 0.01)) for limit in limits[number]
            )

        hardest = sorted(others, key=lambda pair: -near[0][pair])[:7]
        terms = [
            np.mean([(count(0, pair) - count(1, pair)) ** 2 for pair in chosen])
            for chosen in (same, hardest)
        ]
        loss = losses.evaluation_loss(student, teacher, labels, thresholds, hardest=7)
        close(loss, 0.02 * terms[0] + 0.01 * terms[1], rtol=1e-6)
    np.testing.assert_allclose(thresholds.values.numpy(), limits, rtol=1e-10)


def test_ekd_without_two_of_a_person_or_two_people(batches):
    student, teacher, _ = batches[0]
    thresholds = _memory.Thresholds(len(RATES)).double()
    loss = losses.evaluation_loss(student, teacher, torch.arange(6), thresholds)
    assert torch.isfinite(loss)
    with pytest.raises(KitError, match="batch of one person has no negatives"):
        losses.evaluation_loss(student, teacher, torch.zeros(6, dtype=torch.int64), thresholds)


def test_icd_face_compares_the_distributions_within_people(batches):
    banks = _memory.Banks(CLASSES, SIZE, 2).double()
    kept = [{y: [] for y in range(CLASSES)} for _ in range(2)]
    points = np.linspace(-1, 1, 41)
    for number, (student, teacher, labels) in enumerate(batches):
        sides = (student.numpy(), teacher.numpy())
        near = [
            [
                cosine(row, held)
                for row, y in zip(side, labels.tolist(), strict=True)
                for held in bank[y][-2:]
            ]
            for side, bank in zip(sides, kept, strict=True)
        ]
        loss = losses.compactness_loss(student, teacher, labels, banks)
        if number == 0:
            assert loss.item() == 0.0  # nothing is remembered yet
        else:
            densities = []
            for values in near:
                raw = [sum(math.exp(-0.5 * ((v - p) / 0.05) ** 2) for v in values) for p in points]
                densities.append(np.array(raw) / sum(raw))
            close(loss, kl(densities[1], densities[0]), rtol=1e-6)
        for side, bank in zip(sides, kept, strict=True):
            for row, y in zip(side, labels.tolist(), strict=True):
                bank[y].append(row)
    for number, bank in enumerate(kept):
        for y, rows in bank.items():
            wanted = {tuple(np.round(normed(row), 9)) for row in rows[-2:]}
            assert {tuple(np.round(row, 9)) for row in banks.rows[number, y].numpy()} == wanted


def test_unikd_looks_at_the_nearest_that_are_remembered(batches):
    queue = _memory.Queue(SIZE, 9).double()
    kept: list[tuple] = []
    for student, teacher, labels in batches:
        values = []
        for s, t, y in zip(student.numpy(), teacher.numpy(), labels.tolist(), strict=True):
            others = [(own, taught) for own, taught, label in kept if label != y]
            others.sort(key=lambda pair: -cosine(t, pair[1]))
            values += [(cosine(s, own) - cosine(t, taught)) ** 2 for own, taught in others[:3]]
        loss = losses.memory_relation_loss(student, teacher, labels, queue, nearest=3)
        if kept:
            close(loss, np.mean(values))
        else:
            assert loss.item() == 0.0
        kept = [*kept, *zip(student.numpy(), teacher.numpy(), labels.tolist(), strict=True)][-9:]


@pytest.mark.parametrize("kind", ["DistilledCentres", "Contrast", "Banks", "Queue", "Thresholds"])
def test_in_evaluation_nothing_is_remembered(kind, batches):
    student, teacher, labels = batches[0]
    makers = {
        "DistilledCentres": lambda: _memory.DistilledCentres(CLASSES, SIZE),
        "Contrast": lambda: _memory.Contrast(CLASSES, SIZE),
        "Banks": lambda: _memory.Banks(CLASSES, SIZE, 2),
        "Queue": lambda: _memory.Queue(SIZE, 9),
        "Thresholds": lambda: _memory.Thresholds(len(RATES)),
    }
    head = makers[kind]().double()
    use = {
        "Contrast": losses.contrast_loss,
        "Banks": losses.compactness_loss,
        "Queue": losses.memory_relation_loss,
        "Thresholds": losses.evaluation_loss,
    }
    if kind == "DistilledCentres":
        batch = Batch(student, teacher, labels, torch.eye(CLASSES, SIZE))

        def look():
            return adadistill.terms(batch, adadistill.Options(), head)
    else:

        def look():
            return use[kind](student, teacher, labels, head)

    before = {key: value.clone() for key, value in head.state_dict().items()}
    head.eval()
    look()
    for key, value in head.state_dict().items():
        assert torch.equal(value, before[key]), key
    head.train()
    look()
    assert any(not torch.equal(value, before[key]) for key, value in head.state_dict().items())
