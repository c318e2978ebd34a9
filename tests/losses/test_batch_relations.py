"""The methods that compare samples of one batch, each against loops: mrd, rkd, sp, kd."""

import math

import numpy as np
import pytest
import torch

from mfr_kit.errors import KitError
from mfr_kit.losses.kd import distillation_loss
from mfr_kit.losses.mrd import batch_relation_loss
from mfr_kit.losses.rkd import angle_loss, distance_loss
from mfr_kit.losses.sp import similarity_preserving_loss


def normed(a):
    norm = np.linalg.norm(a)
    return a / norm if norm else a


def huber(a, b):
    return 0.5 * (a - b) ** 2 if abs(a - b) < 1 else abs(a - b) - 0.5


def test_mrd_is_the_mean_over_ordered_pairs(batch, arrays):
    student, teacher, *_ = arrays
    count = len(student)
    pairs = [(i, j) for i in range(count) for j in range(count) if i != j]
    wanted = np.mean(
        [
            (normed(student[i]) @ normed(teacher[j]) - normed(teacher[i]) @ normed(teacher[j])) ** 2
            for i, j in pairs
        ]
    )
    np.testing.assert_allclose(
        batch_relation_loss(batch.student, batch.teacher).item(), wanted, rtol=1e-10
    )
    assert batch_relation_loss(batch.teacher * 2, batch.teacher).item() < 1e-25
    with pytest.raises(KitError, match="--batch-size"):
        batch_relation_loss(batch.student[:1], batch.teacher[:1])


def test_rkd_distances(batch, arrays):
    student, teacher, *_ = arrays
    count = len(student)

    def scaled(x):
        distances = np.array([[np.linalg.norm(a - b) for b in x] for a in x])
        return distances / distances[~np.eye(count, dtype=bool)].mean()

    wanted = np.mean(
        [huber(a, b) for a, b in zip(scaled(student).ravel(), scaled(teacher).ravel(), strict=True)]
    )
    np.testing.assert_allclose(
        distance_loss(batch.student, batch.teacher).item(), wanted, rtol=1e-9
    )


def test_rkd_angles(batch, arrays):
    student, teacher, *_ = arrays
    count = range(len(student))

    def angle(x, i, j, k):
        return normed(x[i] - x[j]) @ normed(x[k] - x[j])

    wanted = np.mean(
        [
            huber(angle(student, i, j, k), angle(teacher, i, j, k))
            for i in count
            for j in count
            for k in count
        ]
    )
    np.testing.assert_allclose(angle_loss(batch.student, batch.teacher).item(), wanted, rtol=1e-9)


def test_rkd_ignores_scale_and_shift_and_another_width(batch):
    moved = batch.teacher.detach() * 3 + 1
    assert distance_loss(moved, batch.teacher).item() < 1e-12
    assert angle_loss(moved, batch.teacher).item() < 1e-12
    assert torch.isfinite(distance_loss(batch.student[:, :3], batch.teacher))


def test_sp_is_the_frobenius_distance_of_normalised_gram_matrices(batch, arrays):
    student, teacher, *_ = arrays

    def gram(x):
        return np.array([normed(np.array([a @ b for b in x])) for a in x])

    wanted = np.square(gram(student) - gram(teacher)).sum() / len(student) ** 2
    np.testing.assert_allclose(
        similarity_preserving_loss(batch.student, batch.teacher).item(), wanted, rtol=1e-10
    )


def test_kd_is_the_softened_divergence(batch):
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 3, 5)) * 9
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        p, q = ([math.exp(z / 2.0) for z in side] for side in (t, s))
        p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    found = distillation_loss(torch.tensor(student), torch.tensor(teacher), temperature=2.0)
    np.testing.assert_allclose(found.item(), 4 * total / 3, rtol=1e-10)
