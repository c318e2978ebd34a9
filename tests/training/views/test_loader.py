import pickle
import shutil

import numpy as np
import pytest
import torch

from mfr_kit.augment.options import AugmentOptions
from mfr_kit.augment.run import augment
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.training.views.loader import (
    BatchPlan,
    StudentViews,
    batches,
    next_batch,
)
from mfr_kit.training.views.order import every_face, every_person
from mfr_kit.training.views.view import ViewRecipe
from tests.conftest import head

LABELS = np.repeat([0, 1, 2, 3, 4, 5], [1, 1, 1, 2, 3, 15])  # 23 faces; three people have one


def order_of(faces, sampling, seed):
    if sampling == "faces":
        return every_face(len(faces), seed)
    return every_person(np.unique(faces.identities.astype(str), return_inverse=True)[1], seed)


def run(set_folder, workers, start=0, seed=0, sampling="faces"):
    faces = FaceSet.open(set_folder)
    plan = BatchPlan(order_of(faces, sampling, seed), 7, 5, start=start)
    return list(
        batches(StudentViews(faces, ViewRecipe(mask_ratio=0.5), seed, (None, None)), plan, workers)
    )


def equal(one, other):
    arrays = all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("indices", "epochs", "mirrored", "masked")
    )
    return arrays and torch.equal(one.images, other.images)


@pytest.mark.slow
@pytest.mark.parametrize("sampling", ["faces", "identities"])
def test_batches_are_the_same_for_any_number_of_workers_and_from_any_start(set_folder, sampling):
    alone = run(set_folder, 0, sampling=sampling)
    assert len(alone) == 5
    assert alone[0].images.dtype == torch.uint8 and alone[0].images.shape == (7, 112, 112, 3)
    for other in (run(set_folder, 2, sampling=sampling), run(set_folder, 0, sampling=sampling)):
        assert all(equal(a, b) for a, b in zip(alone, other, strict=True))
    later = run(set_folder, 1, start=2, sampling=sampling)
    assert len(later) == 3 and all(equal(a, b) for a, b in zip(alone[2:], later, strict=True))
    assert not any(
        equal(a, b)
        for a, b in zip(alone, run(set_folder, 0, seed=1, sampling=sampling), strict=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize("sampling", ["faces", "identities"])
def test_a_set_of_records_gives_the_batches_of_a_set_of_files(tmp_path, sampling):
    for person in range(8):
        for take in range(2):
            (tmp_path / "crops" / f"p{person}").mkdir(parents=True, exist_ok=True)
            (tmp_path / "crops" / f"p{person}" / f"{take}.png").write_bytes(
                encode(head(person, take), ".png")
            )
    for form in ("folder", "rec"):
        augment(
            AugmentOptions(
                src=tmp_path / "crops",
                dst=tmp_path / form,
                aligned=True,
                ratio=0.5,
                workers=0,
                format=form,
            )
        )
    for workers in (0, 2):
        sets = (FaceSet.open(tmp_path / form).clean() for form in ("folder", "rec"))
        plans = ((faces, BatchPlan(order_of(faces, sampling, 3), 5, 4)) for faces in sets)
        files, records = (
            list(batches(StudentViews(faces, ViewRecipe(), 3, (None, None)), plan, workers))
            for faces, plan in plans
        )
        assert len(files) == 4 and all(equal(a, b) for a, b in zip(files, records, strict=True))


def test_an_epoch_shows_every_face_at_most_once_and_epochs_differ():
    epochs = [[], []]
    for keys in BatchPlan(every_face(23, 0), 5, 8):
        for epoch, index in keys:
            epochs[epoch].append(index)
    assert all(len(set(seen)) == len(seen) == 20 for seen in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize(
    "order", [every_face(23, 4), every_person(LABELS, 4)], ids=["faces", "identities"]
)
def test_two_ranks_share_the_batch_of_one(order):
    one = list(BatchPlan(order, 6, 6))
    two = [list(BatchPlan(order, 3, 6, rank=(rank, 2))) for rank in (0, 1)]
    assert one == [left + right for left, right in zip(*two, strict=True)]


def test_too_large_a_batch_is_refused():
    with pytest.raises(KitError, match="--batch-size 24"):
        BatchPlan(every_face(23, 0), 24, 1)
    with pytest.raises(KitError, match="--batch-size 4 x 2 rank"):
        BatchPlan(every_person(LABELS, 0), 4, 1, rank=(0, 2))


def test_by_identities_everybody_is_seen_once_a_pass_and_ones_faces_take_turns():
    people, faces_of = [], {person: [] for person in range(6)}
    for keys in BatchPlan(every_person(LABELS, 7), 6, 30):
        people.append([LABELS[index] for _, index in keys])
        for _, index in keys:
            faces_of[LABELS[index]].append(index)
    assert all(sorted(seen) == [0, 1, 2, 3, 4, 5] for seen in people)
    assert len({tuple(seen) for seen in people}) > 25  # each pass in an order of its own
    assert set(faces_of[0]) == {0}
    # 30 passes are a multiple of 1, 2, 3 and 15: every face as often as any other of its person
    for person, seen in faces_of.items():
        assert len(set(np.unique(seen, return_counts=True)[1])) == 1
        assert len(set(seen)) == (person == LABELS).sum()


def test_a_face_that_recurs_is_seen_in_another_view(set_folder):
    faces = FaceSet.open(set_folder).select([0, 3, 6])  # one face each of three people
    dataset = StudentViews(faces, ViewRecipe(mask_ratio=0.5), 0, (None, None))
    seen = {}
    for batch in batches(dataset, BatchPlan(every_person(np.arange(3), 0), 3, 6), 0):
        for image, index in zip(batch.images, batch.indices, strict=True):
            seen.setdefault(int(index), []).append(image.numpy().tobytes())
    assert all(len(set(views)) == len(views) == 6 for views in seen.values())


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_face_is_named_in_one_line_whoever_read_it(set_folder, tmp_path, workers):
    copy = tmp_path / "set"
    shutil.copytree(set_folder, copy)
    (copy / "faces/p03/1.png").write_bytes(b"no image")
    faces = FaceSet.open(copy)
    loader = batches(
        StudentViews(faces, ViewRecipe(), 0, (None, None)),
        BatchPlan(every_face(len(faces), 0), len(faces), 1),
        workers,
    )
    with pytest.raises(KitError, match=r"^[^\n]*p03/1\.png[^\n]*$"):
        next_batch(iter(loader))


@pytest.mark.slow
def test_masks_and_transforms_are_made_in_a_spawned_worker_not_sent_to_it(set_folder):
    dataset = StudentViews(FaceSet.open(set_folder), ViewRecipe(mask_ratio=1.0), 0, (None, None))
    unprepared = pickle.dumps(dataset)
    here = [dataset[1, index][0].image for index in range(4)]
    sent = pickle.dumps(dataset)
    assert len(sent) == len(unprepared)
    there = pickle.loads(sent)
    for index, image in enumerate(here):
        np.testing.assert_array_equal(there[1, index][0].image, image)
