import numpy as np
import torch

from mfr_kit.losses.fcd import feature_consistency_loss


def naive(student, teacher):
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        total += 2 - 2 * float(s @ t) / (np.linalg.norm(s) * np.linalg.norm(t))
    return total / len(student)


def test_it_equals_the_mean_of_two_minus_two_cosines(batch, arrays):
    student, teacher, *_ = arrays
    np.testing.assert_allclose(
        feature_consistency_loss(batch.student, batch.teacher).item(),
        naive(student, teacher),
        rtol=1e-12,
    )


def test_norms_do_not_matter_and_opposite_is_four(batch):
    loss = feature_consistency_loss(batch.student, batch.teacher)
    torch.testing.assert_close(
        feature_consistency_loss(batch.student * 7, batch.teacher * 0.1), loss
    )
    assert feature_consistency_loss(-batch.teacher, batch.teacher).item() == 4
