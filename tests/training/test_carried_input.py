"""Weights that take blue first are trained, validated, kept and averaged as such."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.models import preprocess, weights
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.input_format import parse
from mfr_kit.models.preprocess import META_NORMALISATION
from mfr_kit.models.spec import ModelSpec
from mfr_kit.models.weights_file import read_file
from mfr_kit.training import networks
from mfr_kit.training.average import average
from mfr_kit.training.average_options import AverageOptions
from mfr_kit.training.distill import distill
from tests.models import odd_onnx

from .conftest import TINY

NAME = "bgr_minus1_to_1"
STILL = {
    "init": "teacher",
    "embedding_size": 16,
    "mask_ratio": 0.0,
    "drift_clean": 0.0,
    "photometric": 0.0,
    "steps": 1,
    "learning_rate": 1e-9,
    "method": "fcd",
}


@pytest.fixture
def blue_teacher(tmp_path):
    """A run whose student takes blue first."""
    torch.manual_seed(5)
    folder = tmp_path / "blue"
    folder.mkdir()
    model = weights.build_backbone(TINY["student"], TINY["embedding_size"], TINY["width"])
    weights.write_text(folder / weights.CONFIG, weights.to_toml(TINY))
    weights.write_text(
        folder / weights.LINEAGE, json.dumps({"training_sets": [{"name": "made up"}]})
    )
    weights.save_student(folder / weights.STUDENT, model.state_dict(), form=parse(NAME))
    return folder


def loss_of(options) -> float:
    distill(options)
    return json.loads((options.out / "metrics.jsonl").read_text().splitlines()[0])["loss"]


def test_a_student_that_starts_as_such_a_teacher_starts_at_zero_loss(
    make_options, blue_teacher, set_folder, tmp_path
):
    options = make_options(**STILL, teacher=str(blue_teacher))
    assert loss_of(options) < 1e-9
    # what is kept says it, and embeds as red and blue changed by hand do
    run = weights.load_run(options.out)
    assert run.model.normalisation == NAME
    assert read_file(options.out / weights.LAST)[weights.FORMAT] == NAME
    faces = FaceSet.open(set_folder)
    images = np.stack([faces.image(row) for row in range(4)])
    swapped = torch.from_numpy(images[..., [2, 1, 0]].astype(np.float32) / 127.5 - 1)
    with torch.inference_mode():
        wanted = run.model(swapped.permute(0, 3, 1, 2)).numpy()
    found = load_embedder(options.out, threads=1).embed(images)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    # the same weights, taken for a network of red first, are another network
    plain = tmp_path / "plain.pt"
    torch.save(run.model.state_dict(), plain)
    other = replace(options, init=str(plain), out=tmp_path / "red")
    assert loss_of(other) > 1e-3
    said = replace(options, init=f"{plain}:{NAME}", out=tmp_path / "said")
    assert loss_of(said) < 1e-6


def test_averaging_keeps_it_and_refuses_two_kinds(make_options, blue_teacher, tmp_path):
    one = distill(make_options(**STILL, teacher=str(blue_teacher))).parent
    average(AverageOptions(runs=[one], out=tmp_path / "mean"))
    assert weights.load_run(tmp_path / "mean").model.normalisation == NAME
    other = tmp_path / "other"
    other.mkdir()
    for name in (weights.CONFIG, weights.LINEAGE):
        weights.write_text(other / name, (one / name).read_text())
    weights.save_student(other / weights.STUDENT, weights.load_run(one).model.state_dict())
    with pytest.raises(KitError, match="one input"):
        average(AverageOptions(runs=[one, other], out=tmp_path / "both"))


def test_a_run_that_says_another_input_is_not_started_from(make_options, blue_teacher):
    options = make_options(**{**STILL, "init": f"{blue_teacher}:minus1_to_1"})
    with pytest.raises(KitError, match="takes bgr_minus1_to_1: leave ':minus1_to_1' out"):
        distill(options)


def test_validation_feeds_what_the_student_takes():
    from mfr_kit.training.validation import _forward

    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4, 2))
    preprocess.mark_input(network, parse("bgr_raw_0_255"))
    faces = np.random.default_rng(0).integers(0, 256, (3, 2, 2, 3), dtype=np.uint8)
    blue_first = torch.from_numpy(faces[..., [2, 1, 0]].copy()).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        wanted = network(blue_first).numpy()
    np.testing.assert_allclose(_forward(network, faces), wanted, rtol=1e-5)


def test_an_onnx_file_to_start_from_says_what_it_takes(tmp_path):
    silent = odd_onnx.write(tmp_path / "silent.onnx")
    says = odd_onnx.write(tmp_path / "says.onnx", metadata={META_NORMALISATION: "bgr_imagenet"})
    for path, given, wanted in (
        (silent, None, "minus1_to_1"),
        (silent, "imagenet", "imagenet"),
        (says, None, "bgr_imagenet"),
    ):
        assert networks._weights_of(ModelSpec(str(path), given))[2].text == wanted
    with pytest.raises(KitError, match="takes bgr_imagenet: leave ':imagenet' out"):
        networks._weights_of(ModelSpec(str(says), "imagenet"))
