"""The Python door: light to import, every example runs, every mistake is answered."""

import ast
import doctest
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mfr_kit as mk
from mfr_kit import api, assets
from mfr_kit.data.alignment.align import TEMPLATE
from mfr_kit.data.alignment.align_photo import AlignedFace
from mfr_kit.errors import KitError
from mfr_kit.seeding import rng_for
from tests.conftest import head, write_faceset

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "cv2", "albumentations", "onnxruntime", "onnx", "pyarrow", "numpy", "typer")
FUNCTIONS = [name for name in mk.__all__ if inspect.isfunction(vars(api).get(name))]
ELSEWHERE = [name for name in api.ELSEWHERE if not name.endswith("Error")]


def need(*names: str) -> None:
    """Skip, saying so, where an asset is not there."""
    for name in names:
        try:
            assets.path(name)
        except KitError as error:
            pytest.skip(str(error))


def test_the_import_is_light():
    code = f"""
import json, sys
import mfr_kit as mk
dir(mk), dir(mk.losses), mk.align, mk.KitError
print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert json.loads(done.stdout) == []


def test_the_lists_of_names_agree():
    stub = ast.parse((ROOT / "mfr_kit" / "__init__.pyi").read_text(encoding="utf-8"))
    stubbed = {
        alias.asname: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(stubbed) == mk.__all__
    for name, module in stubbed.items():
        assert getattr(importlib.import_module(module), name) is getattr(mk, name)
    assert set(mk.__all__) < set(dir(mk))
    for name in mk.__all__:
        assert getattr(mk, name) is getattr(api, name)
    with pytest.raises(AttributeError, match="no attribute 'algin'"):
        _ = mk.algin


@pytest.mark.parametrize("name", [*FUNCTIONS, *ELSEWHERE])
def test_its_example_runs(name, tmp_path, capfd):
    function = getattr(mk, name)
    returns = ["Returns:"] if inspect.isfunction(function) else []
    returns = ["Returns:"] if inspect.isfunction(function) else []
    for part in ("Args:", "Raises:", "Example:", *returns):
        assert part in function.__doc__, f"{name} says nothing under {part}"
    need(*{"align": ["yunet"], "load_embedder": ["sface"]}.get(name, []))
    (example,) = doctest.DocTestFinder(recurse=False).find(
        function, name, globs={"mk": mk, "tmp": tmp_path}
    )
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    found = []
    runner.run(example, out=found.append)
    assert not runner.failures, "".join(found)
    assert runner.tries > 1


@pytest.fixture
def face() -> np.ndarray:
    return head(1)


def test_a_mask_follows_from_its_seed_alone(face):
    before = face.copy()
    masked = mk.put_mask(face, seed=5)
    np.testing.assert_array_equal(mk.put_mask(face, seed=5), masked)
    assert (mk.put_mask(face, seed=6) != masked).any()
    np.testing.assert_array_equal(face, before)
    assert (masked[:30] == face[:30]).all()  # above the eyes nothing is drawn
    assert (masked[80:100, 40:70] != face[80:100, 40:70]).any(axis=2).mean() > 0.9


def test_a_mask_sits_on_the_landmarks_that_are_given(face):
    aligned = AlignedFace(face, TEMPLATE + np.float32(3), np.eye(2, 3), 1.0)
    drawn = mk.put_mask(aligned, seed=5, masks=["surgical"])
    given = mk.put_mask(face, seed=5, masks="surgical", landmarks=TEMPLATE + 3)
    np.testing.assert_array_equal(drawn, given)
    assert (drawn != mk.put_mask(face, seed=5, masks="surgical")).any()


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"masks": "surgicl"}, "Did you mean 'surgical'"),
        ({"seed": -1}, "a whole number from 0 on, found -1"),
        ({"seed": 0.5}, "a whole number from 0 on, found 0.5"),
        ({"face": np.zeros((100, 90, 3), np.uint8)}, "only 112x112 crops have known ones"),
        ({"face": np.zeros((112, 112, 3), np.float32)}, r"\(H, W, 3\) uint8 RGB"),
        ({"face": "face.jpg"}, "found str"),
        ({"landmarks": TEMPLATE[:4]}, r"\(4, 2\)"),
        ({"landmarks": TEMPLATE * np.nan}, "finite"),
    ],
)
def test_what_no_mask_can_be_put_on_is_said(face, given, complaint):
    with pytest.raises(KitError, match=complaint):
        mk.put_mask(**{"face": face, **given})


def naive_tar(scores, genuine, far):
    """Try every threshold."""
    best = 0.0
    for threshold in np.unique(scores):
        accepted = scores >= threshold
        if accepted[~genuine].mean() <= far:
            best = max(best, accepted[genuine].mean())
    return best


@pytest.mark.parametrize("masked", [False, True])
def test_tar_at_far_equals_trying_every_threshold(masked):
    rng, people = rng_for(1), np.repeat([f"p{number}" for number in range(20)], 4)
    rows = (np.eye(20)[np.repeat(np.arange(20), 4)] + 0.25 * rng.normal(size=(80, 20))) * 7
    under = np.tile([True, False, False, True], 20)
    found = mk.tar_at_far(rows, people, under if masked else None, [0.1, 0.05], resamples=40)
    unit = rows.astype(np.float32) / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = (unit @ unit.T).astype(np.float32)
    chosen = np.outer(under, ~under) if masked else np.triu(np.ones((80, 80), bool), 1)
    same = people[:, None] == people
    for point, far in zip(found, [0.1, 0.05], strict=True):
        assert point.tar == pytest.approx(naive_tar(cosines[chosen], same[chosen], far), abs=2e-3)
        assert point.low < point.tar < point.high
        assert (point.far, point.false_accepts >= 30) == (far, True)


def test_a_face_is_no_pair_with_its_own_twin():
    rng, people = rng_for(2), np.repeat(np.arange(30), 2)
    rows = rng.normal(size=(60, 8))
    rows[1::2] = rows[::2]  # the twin is the face itself: a perfect score, were it counted
    given = {"masked": np.tile([False, True], 30), "fars": [0.1], "resamples": 0}
    (counted,) = mk.tar_at_far(rows, people, **given)
    assert (counted.tar, counted.low) == (1.0, None)
    with pytest.raises(KitError, match="0 genuine"):
        mk.tar_at_far(rows, people, photos=people, **given)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"people": [0, 1]}, "people must name each of the 6 embeddings, found shape"),
        ({"masked": [True] * 5}, "masked must name each of the 6"),
        ({"masked": [1, 0, 1, 0, 1, 0]}, "masked must hold True or False"),
        ({"embeddings": np.ones(6)}, r"embeddings must be \(N, D\) numbers"),
        ({"embeddings": np.zeros((6, 2))}, "embedding of row 0 is all zeros"),
        ({"fars": [1e-3, 1.5]}, "between 0 and 1"),
        ({"fars": []}, "between 0 and 1"),
        ({"resamples": -1}, "resamples -1"),
        ({"masked": [True] * 6}, "nothing to measure"),
    ],
)
def test_what_cannot_be_measured_is_said(given, complaint):
    usual = {"embeddings": np.eye(6), "people": [0, 0, 1, 1, 2, 2]}
    with pytest.raises(KitError, match=complaint):
        mk.tar_at_far(**{**usual, **given})


def test_a_face_set_feeds_a_data_loader(tmp_path):
    from torch.utils.data import DataLoader

    write_faceset(tmp_path, people=3, takes=2)
    faces = mk.FaceSet(str(tmp_path)).clean()
    alone, helped = (
        list(DataLoader(faces, batch_size=4, num_workers=workers)) for workers in (0, 2)
    )
    for (images, labels), (other, same) in zip(alone, helped, strict=True):
        assert (images == other).all()
        assert (labels == same).all()
    assert alone[0][0].shape == (4, 112, 112, 3)
    assert alone[1][1].tolist() == [2, 2]
    assert mk.to_tensor(alone[1][0]).shape == (2, 3, 112, 112)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda at: mk.evaluate("x.npy", at, fars=[0.1]), "Did you mean 'far'"),
        (lambda at: mk.evaluate("sface", at / "none"), "not a face set"),
        (lambda at: mk.FaceSet(str(at)), "not a face set"),
        (lambda at: mk.load_embedder(at / "none.onnx"), "no model"),
        (lambda at: mk.export_onnx("nowhere"), "nowhere"),
        (lambda at: mk.export_onnx(object(), at / "a.onnx"), "run folder or a torch.nn.Module"),
        (lambda at: mk.check(str(at / "none.onnx"), "ms1m"), "no such model file"),
        (lambda at: mk.draw_face_set(at / "a", people=1), "at least 2 people"),
        (lambda at: mk.draw_face_set(Path(__file__).parent), "exists already"),
    ],
)
def test_a_mistake_is_answered(tmp_path, call, complaint):
    with pytest.raises(KitError, match=complaint):
        call(tmp_path)


def test_faces_that_are_no_array_are_refused(face):
    need("sface")
    for call in (mk.load_embedder("sface").embed, mk.to_tensor):
        with pytest.raises(KitError, match=r"found a list: np\.stack joins them"):
            call([face, face])
        with pytest.raises(KitError, match=r"faces must be \(B, H, W, 3\).*\(112, 112, 3\)"):
            call(face)


def test_tensors_are_measured_as_arrays_are():
    import torch

    rows = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    people = torch.arange(60) // 6
    given = {"fars": [0.1], "resamples": 20}
    wanted = mk.tar_at_far(rows.detach().numpy(), people.numpy(), **given)
    assert mk.tar_at_far(rows, people, **given) == wanted
    assert mk.tar_at_far(rows, people, **{**given, "fars": 0.1}) == wanted


def test_a_network_of_ones_own_needs_a_file_to_go_to():
    from torch import nn

    with pytest.raises(KitError, match=r"name the \.onnx file"):
        mk.export_onnx(nn.Flatten())


def test_a_drawn_set_is_a_face_set_that_a_seed_makes_again(tmp_path):
    first = mk.draw_face_set(tmp_path / "a", people=2, photos=2, seed=3)
    again = mk.draw_face_set(str(tmp_path / "b"), people=2, photos=2, seed=3)
    other = mk.draw_face_set(tmp_path / "c", people=2, photos=2, seed=4)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.labels.tolist() == [0, 0, 1, 1]
    kept = (first.folder / "faceset.json").stat().st_mtime_ns
    mk.draw_face_set(tmp_path / "a", people=2, photos=2, seed=3)
    assert (first.folder / "faceset.json").stat().st_mtime_ns == kept
    with pytest.raises(KitError, match="exists already"):
        mk.draw_face_set(tmp_path / "a", people=2, photos=2, seed=4)
    np.testing.assert_allclose(first.points(0), TEMPLATE, atol=8)
