"""YuNet by onnxruntime finds what OpenCV finds with the same file, alone and in batches."""

from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfr_kit import assets, cli
from mfr_kit.data.alignment.detect import choose_provider, load_detector
from mfr_kit.data.detectors import yunet_onnx
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.images import read_rgb
from mfr_kit.errors import KitError
from mfr_kit.providers import Provider
from tests.data.made_up_detector import write_scrfd
from tests.models.fake_cuda import CUDA, FakeSession


def photographs() -> list[np.ndarray]:
    """Six faces, single ones of several sizes, a tight crop that needs a second attempt, none."""
    from insightface.data import get_image

    group = get_image("t1")[..., ::-1].copy()
    heads = [read_rgb(assets.path("orl-faces") / f"s{n}" / "1.pgm") for n in (1, 2, 3)]
    large = cv2.resize(heads[0], None, fx=9, fy=9, interpolation=cv2.INTER_CUBIC)
    crop = heads[1][20:95, 12:80].copy()
    return [group, *heads, large, crop, np.full((70, 300, 3), 127, np.uint8)]


def compare(found: list, wanted: list, atol: float) -> None:
    assert [len(faces) for faces in found] == [len(faces) for faces in wanted]
    for ours, theirs in zip(chain(*found), chain(*wanted), strict=True):
        np.testing.assert_allclose(ours.box, theirs.box, atol=atol)
        np.testing.assert_allclose(ours.landmarks, theirs.landmarks, atol=atol)
        assert abs(ours.score - theirs.score) < 1e-4


def test_it_finds_what_opencv_finds_one_by_one_and_together():
    images, theirs, ours = photographs(), load_detector("yunet"), load_detector("yunet-onnx")
    alone = [ours.detect(image) for image in images]
    assert [len(faces) for faces in alone] == [6, 1, 1, 1, 1, 1, 0]
    compare(alone, [theirs.detect(image) for image in images], atol=0.01)
    compare(ours.detect_many(images), alone, atol=0.001)
    heads = images[1:4]
    crops = [[detector.detect_in_crop(head) for head in heads] for detector in (ours, theirs)]
    compare(*crops, atol=0.01)


def test_photographs_of_one_size_are_run_in_one_call(monkeypatch):
    detector, sizes, run = load_detector("yunet-onnx"), [], yunet_onnx.YuNetOnnx._run

    def count(self, pictures, threshold):
        sizes.append(len(pictures))
        return run(self, pictures, threshold)

    monkeypatch.setattr(yunet_onnx.YuNetOnnx, "_run", count)
    heads = photographs()[1:4]
    small = cv2.resize(heads[0], (80, 96))
    assert [len(faces) for faces in detector.detect_many([*heads[:2], small, heads[2]])] == [1] * 4
    assert sizes == [3, 1]


def test_a_device_runs_it(monkeypatch):
    FakeSession.install(monkeypatch)
    provider, line = choose_provider("yunet-onnx", "cuda")
    assert (provider, line) == (Provider(), "")
    detector = load_detector("yunet-onnx", provider=provider)
    assert [given[0][0] for given in FakeSession.opened] == [CUDA]
    assert len(detector.detect(photographs()[1])) == 1
    monkeypatch.setattr(FakeSession, "falls_back", True)
    with pytest.raises(KitError, match="fell back to the CPU"):
        load_detector("yunet-onnx", provider=provider)


def test_what_is_no_yunet_is_said(tmp_path):
    with pytest.raises(KitError, match=r"scrfd\.onnx: no output 'bbox_16'"):
        load_detector("yunet-onnx", write_scrfd(tmp_path / "scrfd.onnx"))
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(KitError, match=r"broken\.onnx: onnxruntime cannot load it as YuNet"):
        load_detector("yunet-onnx", tmp_path / "broken.onnx")


def test_augment_makes_the_same_set_with_it(tmp_path):
    for person in ("s1", "s2"):
        (tmp_path / "photos" / person).mkdir(parents=True)
        photo = assets.path("orl-faces") / person / "1.pgm"
        (tmp_path / "photos" / person / "1.pgm").write_bytes(photo.read_bytes())

    def made(name: str, *flags: str) -> FaceSet:
        src: Path = tmp_path / "photos"
        how = ["--workers", "0", "--ratio", "1", *flags]
        assert cli.main(["augment", str(src), str(tmp_path / name), *how]) == 0
        return FaceSet.open(tmp_path / name)

    theirs = made("theirs")
    ours = made("ours", "--detector", "yunet-onnx", "--detect-batch", "3")
    assert list(ours.keys) == list(theirs.keys) and len(ours) == 4
    for index in range(len(ours)):
        np.testing.assert_allclose(ours.points(index), theirs.points(index), atol=0.01)
        assert np.abs(ours.image(index).astype(int) - theirs.image(index)).mean() < 0.5
