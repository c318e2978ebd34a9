"""EdgeFace as a student: from published weights, with some layers frozen, to a file."""

import numpy as np
import pytest
import torch

from mfr_kit.models import weights
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.parity import colour_faces
from mfr_kit.submission.export import TOLERANCE, export_run
from mfr_kit.training.distill import distill
from tests.models.edgeface_on_paper import random_state


@pytest.mark.slow
def test_published_weights_learn_from_an_ensemble_and_are_exported(
    make_options, teacher_folder, tmp_path
):
    state = random_state("xxs")
    torch.save({f"model.{key}": value for key, value in state.items()}, tmp_path / "e.pt")
    student = {"student": "edgeface-xxs", "width": 1.0, "init": str(tmp_path / "e.pt")}
    teacher = f"{teacher_folder},{tmp_path / 'e.pt'}"
    options = make_options(**student, teacher=teacher, embedding_size=512, freeze_layers=6, steps=3)
    distill(options)
    run = weights.load_run(tmp_path / "run")
    trained = run.model.state_dict()
    changed = {key for key in state if not torch.equal(trained[key], state[key])}
    assert all(torch.isfinite(value).all() for value in trained.values())
    # six layers: the stem, two blocks, a downsampling, two blocks
    frozen = ("stem.", "stages.0.", "stages.1.")
    assert {key for key in state if not key.startswith(frozen)} == changed
    teachers = load_embedder(teacher).embedding_size
    assert teachers > 512 and run.projector.shape == (teachers, 512)
    done = export_run(tmp_path / "run", opset=13)
    assert max(done.parity.values()) <= TOLERANCE
    faces = colour_faces(2)
    found = load_embedder(done.path).embed(faces)
    wanted = load_embedder(tmp_path / "run").embed(faces)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
