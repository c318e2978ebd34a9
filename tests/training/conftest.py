import json

import cv2
import numpy as np
import pytest

from mfr_kit.data.alignment.align import TEMPLATE
from mfr_kit.data.face_set import faceset
from mfr_kit.data.face_set.content import digest_of
from mfr_kit.data.face_set.faceset_writer import write_rows
from mfr_kit.data.images import encode
from mfr_kit.models import weights
from mfr_kit.training.options import distill_options

TINY = {"student": "mobilefacenet", "embedding_size": 16, "width": 0.125}


def person(number: int, shot: int) -> np.ndarray:
    """Draw a made-up face: blobs of the person's own colours and places, moved a little in every
    shot.
    """
    own, here = np.random.default_rng(number), np.random.default_rng((number, shot))
    image = np.full((112, 112, 3), own.integers(60, 200, 3), np.uint8)
    for _ in range(6):
        centre = own.integers(20, 92, 2) + here.integers(-2, 3, 2)
        cv2.circle(
            image, centre.tolist(), int(own.integers(5, 22)), own.integers(0, 256, 3).tolist(), -1
        )
    return image


def write_set(folder, people=8, shots=3, first=0):
    """Write a face set of made-up people p00 (or the first that is said), p01, ... with a few
    clean faces each.
    """
    rows = []
    for number in range(first, first + people):
        for shot in range(shots):
            key, data = f"faces/p{number:02}/{shot}.png", encode(person(number, shot), ".png")
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            row = {
                "key": key,
                "source": f"p{number:02}/{shot}.png",
                "identity": f"p{number:02}",
                "condition": faceset.NONMASK,
            }
            rows.append(
                {
                    **row,
                    "landmarks": TEMPLATE.ravel().tolist(),
                    "similarity": faceset.ALIGNED,
                    "score": 1.0,
                    "clean_key": "",
                    "mask": "",
                    "digest": digest_of(data),
                }
            )
    write_rows(folder, [(rows, [])], {})
    return folder


@pytest.fixture(scope="session")
def set_folder(tmp_path_factory):
    """A face set of 8 people with 3 clean faces each."""
    return write_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="session")
def val_folder(tmp_path_factory):
    """A face set of 14 people with 3 clean faces each: enough impostor comparisons for a TAR at
    FAR 0.1.
    """
    return write_set(tmp_path_factory.mktemp("val"), people=14)


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory):
    """A run folder with a tiny random network, to serve as the teacher."""
    import torch

    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("teacher")
    model = weights.build_backbone(TINY["student"], TINY["embedding_size"], TINY["width"])
    weights.write_text(folder / weights.CONFIG, weights.to_toml(TINY))
    weights.write_text(
        folder / weights.LINEAGE, json.dumps({"training_sets": [{"name": "made up"}]})
    )
    weights.save_student(folder / weights.STUDENT, model.state_dict())
    return folder


@pytest.fixture
def make_options(set_folder, teacher_folder, tmp_path):
    """Return a function that makes options for a run of a few seconds; keyword arguments
    override.
    """

    def make(**changes):
        usual = {
            "data": set_folder,
            "out": tmp_path / "run",
            "teacher": str(teacher_folder),
            "student": "mobilefacenet",
            "width": 0.125,
            "batch_size": 6,
            "steps": 6,
            "workers": 0,
            "threads": 1,
            "log_every": 2,
            "save_every": 2,
            "learning_rate": 1e-3,
        }
        return distill_options()(**{**usual, **changes})

    return make
