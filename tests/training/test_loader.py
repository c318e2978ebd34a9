import shutil

import numpy as np
import pytest
import torch

from mfr_kit.data.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.training.loader import Plan, StudentViews, batches, following
from mfr_kit.training.views import Recipe


def run(set_folder, workers, start=0, seed=0):
    faces = FaceSet.open(set_folder)
    plan = Plan(len(faces), 7, 5, seed=seed, start=start)
    return list(batches(StudentViews(faces, Recipe(mask_ratio=0.5), seed, (None, None)), plan, workers))


def equal(one, other):
    arrays = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("indices", "epochs", "mirrored", "masked"))
    return arrays and torch.equal(one.images, other.images)


def test_batches_are_the_same_for_any_number_of_workers_and_from_any_start(set_folder):
    alone = run(set_folder, workers=0)
    assert len(alone) == 5
    assert alone[0].images.dtype == torch.uint8 and alone[0].images.shape == (7, 112, 112, 3)
    for other in (run(set_folder, workers=2), run(set_folder, workers=0)):
        assert all(equal(a, b) for a, b in zip(alone, other, strict=True))
    later = run(set_folder, workers=1, start=3)
    assert len(later) == 2 and all(equal(a, b) for a, b in zip(alone[3:], later, strict=True))
    assert not any(equal(a, b) for a, b in zip(alone, run(set_folder, workers=0, seed=1), strict=True))


def test_an_epoch_shows_every_face_at_most_once_and_epochs_differ():
    epochs = [[], []]
    for keys in Plan(23, 5, 8, seed=0):
        for epoch, index in keys:
            epochs[epoch].append(index)
    assert all(len(set(seen)) == len(seen) == 20 for seen in epochs)
    assert epochs[0] != epochs[1]


def test_two_ranks_share_the_batch_of_one():
    one = list(Plan(23, 6, 6, seed=4))
    two = [list(Plan(23, 3, 6, seed=4, rank=(rank, 2))) for rank in (0, 1)]
    assert one == [left + right for left, right in zip(*two, strict=True)]


def test_too_large_a_batch_is_refused():
    with pytest.raises(KitError, match="--batch-size 24"):
        Plan(23, 24, 1, seed=0)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_face_is_named_in_one_line_whoever_read_it(set_folder, tmp_path, workers):
    copy = tmp_path / "set"
    shutil.copytree(set_folder, copy)
    (copy / "faces/p03/1.png").write_bytes(b"no image")
    faces = FaceSet.open(copy)
    loader = batches(StudentViews(faces, Recipe(), 0, (None, None)), Plan(len(faces), len(faces), 1, seed=0), workers)
    with pytest.raises(KitError, match=r"^[^\n]*p03/1\.png[^\n]*$"):
        following(iter(loader))
