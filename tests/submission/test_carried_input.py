"""A student that takes blue first and a mean and std of each channel, from its weights file into
everything that is made from it; the numbers are computed here by hand.
"""

import json
import zipfile

import numpy as np
import onnx
import pytest
import torch

from mfr_kit import assets
from mfr_kit.errors import KitError
from mfr_kit.models import weights
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.input_format import parse
from mfr_kit.models.parity import colour_faces
from mfr_kit.submission import check, edge, edge_faces, export, package, tracks
from mfr_kit.submission.options import SubmissionOptions
from mfr_kit.submission.packages import onnx as onnx_package
from mfr_kit.submission.packages import webface260m
from mfr_kit.submission.request import Request
from mfr_kit.submission.rules import FAIL
from tests.conftest import write_faceset

from .conftest import write_run

MEAN, STD = (91.5, 103.9, 131.1), (58.0, 57.0, 59.0)
TEXT = "mean=91.5/103.9/131.1+std=58/57/59+order=bgr"
FACES = colour_faces(4)


def planes(faces: np.ndarray) -> np.ndarray:
    blue_first = faces[:, :, :, [2, 1, 0]].astype(np.float64)
    return ((blue_first - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of such a student, exported."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "blue")
    state = weights.read_state(folder / weights.STUDENT)
    weights.save_student(folder / weights.STUDENT, state, form=parse(TEXT))
    export.export_run(folder)
    return folder


@pytest.fixture(scope="module")
def wanted(run):
    """The embeddings of FACES, by torch."""
    with torch.inference_mode():
        return weights.load_run(run).model(torch.from_numpy(planes(FACES))).numpy()


def stored(path) -> str:
    return {item.key: item.value for item in onnx.load(path).metadata_props}[
        "mfr_kit.normalisation"
    ]


def test_a_run_and_its_export_say_it_themselves(run, wanted):
    assert stored(run / "model.onnx") == TEXT
    for model in (run, run / "model.onnx"):
        embedder = load_embedder(model)
        assert embedder.normalisation == TEXT
        np.testing.assert_allclose(embedder.embed(FACES), wanted, rtol=1e-3, atol=1e-3)
    # the numbers are no accident of a network that looks at brightness alone
    grey = load_embedder(run).embed(FACES[..., ::-1].copy())
    assert export.cosine_difference(grey, wanted).min() > 1e-3


def test_a_network_of_ones_own_is_exported_with_it(run, wanted, tmp_path):
    export.export_own(weights.load_run(run).model, tmp_path / "own.onnx")
    assert stored(tmp_path / "own.onnx") == TEXT
    found = load_embedder(tmp_path / "own.onnx").embed(FACES)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)


def test_edge_files_are_calibrated_on_it(run, tmp_path, monkeypatch):
    drawn = write_faceset(tmp_path / "drawn", people=3, takes=2)
    listed = tmp_path / "drawn" / "list.txt"
    listed.write_text("\n".join(drawn.keys))
    seen, quantise = [], edge.quantise
    monkeypatch.setattr(edge, "quantise", lambda *given: seen.append(given[1]) or quantise(*given))
    export.export_run(run, tmp_path / "model.onnx")
    made = edge.export_edge(run, tmp_path / "model.onnx", "int8", listed)
    assert stored(made.path) == TEXT
    np.testing.assert_allclose(seen[0], planes(edge_faces.halves(listed)[0]), atol=1e-5)


def failed(run, track):
    rows = check.check(run / "model.onnx", track, run, latency=False)
    return {row.rule for row in rows if row.verdict == FAIL}


def test_only_who_can_be_told_accepts_it(run):
    assert failed(run, "webface260m") == set()
    fed = {"normalisation fed", "agrees with its run, fed as the server feeds"}
    assert failed(run, "ms1m") == failed(run, "cfat") == fed


def test_the_webface260m_package_feeds_it(run, wanted, tmp_path, monkeypatch):
    try:
        assets.path("yunet")
    except KitError as error:
        pytest.skip(str(error))
    out = tmp_path / "s.zip"
    package.make_submission(
        SubmissionOptions(model=run / "model.onnx", track="webface260m", out=out)
    )
    with zipfile.ZipFile(out) as archive:
        archive.extractall(tmp_path / "served")
    monkeypatch.syspath_prepend(str(tmp_path / "served"))
    for name in ("face_detection", "pywebface260mmfr_implement"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    from pywebface260mmfr_implement import PyWebFace260M

    entry = PyWebFace260M()
    entry.load(str(tmp_path / "served"))
    for face, row in zip(FACES, wanted, strict=True):
        np.testing.assert_allclose(entry.embed(face[:, :, ::-1]), row, rtol=1e-3, atol=1e-3)


def test_a_packages_side_files_say_what_they_can(run):
    model, cfat = run / "model.onnx", tracks.load("cfat")
    with pytest.raises(KitError, match="one mean and one std"):
        onnx_package.files(Request(model, cfat, TEXT))
    for name, text in (("zero_to_1", b"0.0\n255.0\n"), ("minus1_to_1", b"127.5\n127.5\n")):
        assert onnx_package.files(Request(model, cfat, name))["pixel_norm.txt"] == text
    # what packages of the two oldest names hold stays, byte for byte
    assert webface260m._pixels("minus1_to_1") == b'{"mean": 127.5, "std": 127.5}\n'
    assert webface260m._pixels("raw_0_255") == b'{"mean": 0.0, "std": 1.0}\n'
    assert json.loads(webface260m._pixels(TEXT)) == {
        "mean": list(MEAN),
        "std": list(STD),
        "order": "bgr",
    }
