import numpy as np
import pytest
import torch

from mfr_kit.errors import KitError
from mfr_kit.losses.srt import restrain_triplets


def naive(student, teacher, labels, margin):
    """The loss again, sample by sample; returns it and whether it was restrained."""
    count = len(labels)
    anchors, positives = (
        [row / np.linalg.norm(row) for row in rows] for rows in (student, teacher)
    )
    near, far, given = [], [], []
    for i in range(count):
        other = next(j % count for j in range(i + 1, i + count) if labels[j % count] != labels[i])
        near.append(2 - 2 * float(anchors[i] @ positives[i]))
        far.append(2 - 2 * float(anchors[i] @ positives[other]))
        given.append(2 - 2 * float(positives[i] @ positives[other]))
    if np.mean(far) >= np.mean(given):
        return np.mean([max(d - np.mean(given) + margin, 0) for d in near]), True
    return np.mean([max(d - e + margin, 0) for d, e in zip(near, far, strict=True)]), False


def pulled_together(arrays, share):
    """The student moved towards the mean of the teacher's embeddings: its negatives come near. A
    negative share drives them off.
    """
    student, teacher, labels, *_ = arrays
    return student + share * teacher.mean(axis=0), teacher, labels


@pytest.mark.parametrize("margin", [0.3, 2.0])
@pytest.mark.parametrize(("share", "restrained"), [(5.0, False), (-5.0, True)])
def test_it_equals_the_loop_in_both_forms_with_right_gradients(arrays, share, restrained, margin):
    student, teacher, labels = pulled_together(arrays, share)
    wanted, form = naive(student, teacher, labels, margin)
    assert form == restrained
    moving = torch.tensor(student, requires_grad=True)
    given, known = torch.tensor(teacher), torch.tensor(labels)
    loss, told = restrain_triplets(moving, given, known, margin)
    np.testing.assert_allclose(loss.item(), wanted, rtol=1e-12)
    assert bool(told) == restrained
    assert torch.autograd.gradcheck(
        lambda rows: restrain_triplets(rows, given, known, margin)[0], (moving,)
    )


def test_restrained_it_is_fcd_up_to_a_constant(arrays):
    from mfr_kit.losses.fcd import feature_consistency_loss

    student, teacher, labels = pulled_together(arrays, -5.0)
    moving, given = torch.tensor(student, requires_grad=True), torch.tensor(teacher)
    gradients = []
    for loss in (
        restrain_triplets(moving, given, torch.tensor(labels), 9.0)[0],
        feature_consistency_loss(moving, given),
    ):
        gradients.append(torch.autograd.grad(loss, moving)[0])
    torch.testing.assert_close(*gradients)


def test_one_person_has_no_negatives(batch):
    with pytest.raises(KitError, match="one person"):
        restrain_triplets(batch.student, batch.teacher, torch.zeros(6, dtype=torch.long))
