"""The rivals of CoupleFace that look at one batch, each against loops, with their constants as
published.
"""

import math

import numpy as np
import pytest
import torch

from mfr_kit import losses
from mfr_kit.errors import KitError
from tests.losses.loops import cosine, kl, softmax, squared, turned_softmax


def close(found, wanted, rtol=1e-9):
    np.testing.assert_allclose(found.item(), wanted, rtol=rtol)


def test_fitnet_compares_lengths_too(batch, arrays):
    student, teacher, *_ = arrays
    wanted = np.mean([(a - b) ** 2 for a, b in zip(student.ravel(), teacher.ravel(), strict=True)])
    close(losses.hint_loss(batch.student, batch.teacher), wanted)
    assert losses.hint_loss(2 * batch.teacher, batch.teacher) > 1


def test_shrinkteanets_angle_is_half_of_fcd(batch, arrays):
    student, teacher, *_ = arrays
    wanted = np.mean([1 - cosine(a, b) for a, b in zip(student, teacher, strict=True)])
    found = losses.angular_loss(batch.student, batch.teacher)
    close(found, wanted)
    close(2 * found, losses.feature_consistency_loss(batch.student, batch.teacher).item())


def test_cckds_kernel_runs_to_its_square_inclusive(batch, arrays):
    student, teacher, *_ = arrays

    def kernel(a, b, gamma):
        terms = (
            math.exp(-2 * gamma) * (2 * gamma) ** p / math.factorial(p) * cosine(a, b) ** p
            for p in (0, 1, 2)
        )
        return sum(terms)

    for gamma in (0.4, 0.7):
        pairs = [(i, j) for i in range(6) for j in range(6)]
        wanted = np.mean(
            [
                (kernel(student[i], student[j], gamma) - kernel(teacher[i], teacher[j], gamma)) ** 2
                for i, j in pairs
            ]
        )
        close(losses.correlation_loss(batch.student, batch.teacher, gamma), wanted)


@pytest.mark.parametrize("length", [2, 3, 4])
def test_darkrank_is_the_likelihood_of_the_teachers_order(batch, arrays, length):
    student, teacher, *_ = arrays

    def score(a, b):
        return -3 * squared(a, b) ** 1.5

    total = 0.0
    for i in range(6):
        others = [j for j in range(6) if j != i]
        order = sorted(others, key=lambda j: -score(teacher[i], teacher[j]))[:length]
        own = [score(student[i], student[j]) for j in order]
        for place in range(length):
            total -= own[place] - math.log(sum(math.exp(value) for value in own[place:]))
    found = losses.ranking_loss(batch.student, batch.teacher, length=length)
    close(found, total / 6, rtol=1e-8)
    with pytest.raises(KitError, match="nearest samples of each need a batch of 7, found 6"):
        losses.ranking_loss(batch.student, batch.teacher, length=6)


@pytest.mark.parametrize("share", [0.3, 0.9, 1.0])
def test_gkd_drops_what_is_unlikely(batch, share):
    torch.manual_seed(3)
    student, teacher = 30 * torch.randn(2, 6, 9, dtype=torch.float64)
    total = 0.0
    for own, given in zip(student.numpy(), teacher.numpy(), strict=True):
        wanted, found = softmax(given / 4), softmax(own / 4)
        order, reached, group = np.argsort(-wanted), 0.0, []
        for index in order:
            if reached >= share:
                break
            group.append(index)
            reached += wanted[index]
        parts = [(side[group].sum(), 1 - side[group].sum()) for side in (wanted, found)]
        inside = [side[group] / side[group].sum() for side in (wanted, found)]
        total += 16 * (kl(*inside) + kl(*parts))
    found = losses.grouped_loss(student, teacher, 4.0, share)
    close(found, total / 6, rtol=1e-6)
    assert losses.grouped_loss(teacher, teacher, 4.0, share).abs() < 1e-12


def test_gkd_with_everything_in_the_group_is_kd():
    torch.manual_seed(4)
    student, teacher = torch.randn(2, 5, 7, dtype=torch.float64)
    kd = losses.distillation_loss(student, teacher).item()
    close(losses.grouped_loss(student, teacher, share=1.0), kd, rtol=1e-6)


def test_triplet_distillations_margin_is_the_teachers(batch, arrays):
    student, teacher, labels, *_ = arrays
    positives = batch.teacher.detach() + 2 * batch.own_prototypes()
    aims = positives.numpy()
    count = len(student)
    nearest = [
        min(
            (j for j in range(count) if labels[j] != labels[i]),
            key=lambda j: squared(student[i], student[j]),
        )
        for i in range(count)
    ]
    gaps = [
        max(
            squared(teacher[i], teacher[n]) - squared(teacher[i], aims[i]),
            0,
        )
        for i, n in enumerate(nearest)
    ]
    values = []
    for i, n in enumerate(nearest):
        margin = 0.3 / max(gaps) * gaps[i] + 0.2
        reached = squared(student[i], aims[i]) - squared(student[i], student[n])
        values.append(max(reached + margin, 0))
    assert len(set(gaps)) > 3
    found = losses.triplet_distillation_loss(batch.student, batch.teacher, positives, batch.labels)
    close(found, np.mean(values))
    with pytest.raises(KitError, match="batch of one person has no negatives"):
        losses.triplet_distillation_loss(
            batch.student, batch.teacher, positives, torch.zeros(6, dtype=torch.int64)
        )


def test_margin_distillation_has_a_margin_for_each_sample(batch, arrays):
    student, teacher, labels, *_ = arrays
    centres = batch.prototypes.clone()
    centres[[1, 2]] = batch.teacher.detach()[[1, 2]]  # two whom the teacher holds near
    near = [cosine(teacher[i], centres[y].numpy()) for i, y in enumerate(labels)]
    margins = [max(0.3 / max(near) * value + 0.2, 0) for value in near]
    assert max(margins) == pytest.approx(0.5)
    assert min(margins) < 0.3
    wanted = np.mean(
        [
            turned_softmax(student[i], centres.numpy(), labels[i], 64, margins[i])
            for i in range(len(student))
        ]
    )
    found = losses.margin_distillation_loss(batch.student, batch.teacher, batch.labels, centres)
    close(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("hardness", [0.0, 1.0, 2.0])
def test_unikd_looks_most_at_hard_samples(batch, arrays, hardness):
    student, teacher, *_ = arrays
    distances = np.array([1 - cosine(a, b) for a, b in zip(student, teacher, strict=True)])
    weights = distances**hardness
    wanted = (weights * distances).mean() / weights.mean()
    close(losses.hard_instance_loss(batch.student, batch.teacher, hardness), wanted)
    assert wanted == pytest.approx(distances.mean()) if not hardness else wanted > distances.mean()
