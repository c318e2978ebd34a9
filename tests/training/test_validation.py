import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.masks import library
from mfr_kit.models.weights import load_run
from mfr_kit.training.ranks import Ranks
from mfr_kit.training.validation import Validation
from tests.training.start_ranks import spawn_ranks


class Crop(nn.Module):
    """A made-up recogniser that sees the upper face only: a mask can hardly disturb it."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.scale * nn.functional.adaptive_avg_pool2d(x[:, :, :40], 4).flatten(1)


def test_the_score_weighs_masked_a_quarter(val_folder, teacher_folder):
    validation = Validation(FaceSet.open(val_folder), library.load, batch=5)
    result = validation.measure(load_run(teacher_folder).model)
    assert validation.about == {"set": val_folder.name, "people": 14, "masks": "drawn here"}
    assert (
        result.far == 0.1
        # 14 people x 3 shots leave 819 clean impostor comparisons: none smaller leaves 30 false
        # accepts
    )
    assert result.score == pytest.approx(0.25 * result.masked + 0.75 * result.clean)
    assert 0 < result.masked < result.clean


def test_it_is_the_same_every_time_and_leaves_the_model_alone(val_folder, teacher_folder):
    model = load_run(teacher_folder).model
    before = {key: value.clone() for key, value in model.state_dict().items()}
    faces = FaceSet.open(val_folder)
    assert Validation(faces, library.load).measure(model) == Validation(
        faces, library.load, batch=7
    ).measure(model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_stored_masked_faces_are_used_where_there_are_some(val_folder, teacher_folder):
    import pyarrow as pa

    faces = FaceSet.open(val_folder)
    conditions = np.where(np.arange(len(faces)) % 3 == 2, "mask", "nonmask")
    mixed = FaceSet(
        faces.folder, faces.table.set_column(3, "condition", pa.array(conditions)), [], {}
    )

    def no_masks():
        raise AssertionError("masks were drawn though the set has its own")

    validation = Validation(mixed, no_masks)
    assert not validation.draws_masks
    assert 0 <= validation.measure(load_run(teacher_folder).model).masked <= 1


def test_too_few_people_are_refused(val_folder):
    with pytest.raises(KitError, match="too few"):
        Validation(FaceSet.open(val_folder).of_people(["p00", "p01"]), library.load)


def test_a_recogniser_of_upper_faces_keeps_its_masked_score(val_folder, teacher_folder):
    faces = FaceSet.open(val_folder)
    upper = Validation(faces, library.load).measure(Crop())
    assert upper.clean > 0.9
    assert (
        upper.masked
        > Validation(faces, library.load).measure(load_run(teacher_folder).model).masked
    )


def work(rank: int, world: int, folder: str, val_folder: str) -> None:
    """Measure as one of several ranks; batch norms of the others have seen something else."""
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    ranks = Ranks(rank, world)
    student = nn.Sequential(Crop(), nn.BatchNorm1d(48))
    student[1].running_mean += rank
    ranks.share_buffers(student, student.state_dict())
    validation = Validation(FaceSet.open(val_folder), library.load, batch=4)
    result = validation.measure_together(student.eval(), ranks)
    torch.save(None if result is None else result.__dict__, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_ranks_measure_together_what_one_measures(val_folder, tmp_path):
    world = 4  # 42 faces do not divide
    spawn_ranks(work, (world, str(tmp_path), str(val_folder)), world)
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(world)]
    student = nn.Sequential(Crop(), nn.BatchNorm1d(48)).eval()
    alone = Validation(FaceSet.open(val_folder), library.load).measure(student)
    assert found == [alone.__dict__, None, None, None]
