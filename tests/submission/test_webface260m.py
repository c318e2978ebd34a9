import zipfile

import cv2
import numpy as np
import pytest

from mfr_kit import assets
from mfr_kit.data.alignment.detect import load_detector
from mfr_kit.data.alignment.detection import pick_face
from mfr_kit.data.images import read_rgb
from mfr_kit.errors import KitError
from mfr_kit.models.embedders import load_embedder
from mfr_kit.submission import package, verify
from mfr_kit.submission.options import SubmissionOptions
from mfr_kit.submission.packages import webface260m


@pytest.fixture(scope="module")
def packed(run, tmp_path_factory):
    try:
        assets.path("yunet"), assets.path("orl-faces")
    except KitError as error:
        pytest.skip(str(error))
    out = tmp_path_factory.mktemp("webface") / "s.zip"
    package.make_submission(
        SubmissionOptions(model=run / "model.onnx", track="webface260m", out=out)
    )
    return out


def test_layout_and_harness(packed):
    rows = {row.rule: row for row in verify.verify(packed)}
    assert {row.verdict for row in rows.values()} == {"pass", "advisory"}
    assert "64-d" in rows["loads as the organisers load it"].found
    assert rows["no face gives zeros"].found == "zeros"
    with zipfile.ZipFile(packed) as archive:
        assert {"assets/det/yunet.onnx", webface260m.MODEL, *webface260m.SERVED} <= set(
            archive.namelist()
        )


def test_it_sees_what_the_kit_sees(packed, run, tmp_path, monkeypatch):
    """Landmarks near those of OpenCV's own YuNet, and the embedding of exactly the face it cut
    out.
    """
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    from face_detection import align, pick
    from pywebface260mmfr_implement import PyWebFace260M

    entry = PyWebFace260M()
    entry.load(str(tmp_path))
    # neither detector scales this
    photo = cv2.resize(webface260m.photographs()["s1"][10:222], (640, 640))
    row = pick(entry.detector.detect(photo), photo.shape)
    rgb = np.ascontiguousarray(photo[:, :, ::-1])
    ours = pick_face(load_detector().detect(rgb), rgb.shape[:2])
    assert np.abs(row[4:14].reshape(5, 2) - ours.landmarks).max() < 0.1  # pixels
    face = align(photo, row[4:14].reshape(5, 2))
    cv2.imwrite(str(tmp_path / "face.png"), face)
    wanted = load_embedder(run / "model.onnx").embed(read_rgb(tmp_path / "face.png")[None])[0]
    assert np.allclose(entry.get_feature(photo), wanted, atol=1e-5)


def test_a_package_that_does_not_load_fails(packed, tmp_path):
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "face_detection.py").write_text("raise RuntimeError('boom')\n")
    (row,) = webface260m.inspect(tmp_path)
    assert row.verdict == "fail" and "boom" in row.found
