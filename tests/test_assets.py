import dataclasses
import hashlib

import pytest

from mfr_kit import assets
from mfr_kit.errors import KitError


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("MFR_KIT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def note(tmp_path, monkeypatch):
    """An asset that lies on a file URL."""
    upstream = tmp_path / "upstream.txt"
    upstream.write_bytes(b"weights")
    entry = assets.Asset(
        "note",
        "note.txt",
        hashlib.sha256(b"weights").hexdigest(),
        7,
        "CC0",
        "a test",
        url=upstream.as_uri(),
    )
    monkeypatch.setitem(assets.ASSETS, "note", entry)
    return upstream


def test_a_missing_asset_names_the_command_that_fetches_it(own_home, note):
    with pytest.raises(KitError, match=r"kit\.py assets fetch note"):
        assets.path("note")


def test_fetch_then_path(own_home, note):
    assert assets.fetch("note") == own_home / "note.txt"
    note.unlink()  # the second time it must come from the cache
    assert assets.path("note").read_bytes() == b"weights"
    assert assets.fetch("note") == own_home / "note.txt"


def test_a_wrong_download_is_refused_and_not_kept(own_home, note):
    note.write_bytes(b"other")
    with pytest.raises(KitError, match="expected sha256"):
        assets.fetch("note")
    assert not list(own_home.iterdir())


def test_a_wrong_file_in_the_cache_names_file_expected_and_found(own_home, note):
    own_home.mkdir()
    (own_home / "note.txt").write_bytes(b"tampered")
    with pytest.raises(KitError) as caught:
        assets.path("note")
    found = hashlib.sha256(b"tampered").hexdigest()
    assert all(
        text in str(caught.value)
        for text in (str(own_home / "note.txt"), assets.asset("note").sha256, found)
    )


def test_the_users_own_path_wins_and_must_exist(own_home, note, tmp_path):
    own = tmp_path / "mine.onnx"
    own.write_bytes(b"mine")
    assert assets.path("note", own) == own
    with pytest.raises(KitError, match=r"no such file: .*gone\.onnx"):
        assets.path("note", tmp_path / "gone.onnx")


def test_sface_is_derived_once_and_equals_the_int8_model(own_home):
    import cv2
    import numpy as np
    import onnxruntime

    made = assets.path("sface")
    assert made.parent == own_home
    stamp = made.stat().st_mtime_ns
    assert assets.path("sface").stat().st_mtime_ns == stamp
    faces = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(str(made), providers=["CPUExecutionProvider"])
    ours = session.run(None, {"data": faces.transpose(0, 3, 1, 2).astype(np.float32)})[0]
    reference = cv2.FaceRecognizerSF.create(str(assets.path("sface-int8")), "")
    theirs = np.concatenate(
        [reference.feature(np.ascontiguousarray(face[..., ::-1])) for face in faces]
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_sface_needs_only_what_the_servers_of_2021_read(own_home):
    import onnx

    model = onnx.load(str(assets.path("sface")))
    assert (model.ir_version, model.opset_import[0].version) == (6, 11)
    assert {tensor.data_type for tensor in model.graph.initializer} == {onnx.TensorProto.FLOAT}
    assert [value.name for value in model.graph.input] == ["data"]


def test_orl_faces_leave_the_carriers_stray_file_out(own_home):
    folder = assets.path("orl-faces")
    assert len(list(folder.rglob("*.*"))) == 400
    assert assets.path("orl-faces") == folder == own_home / "orl_faces"
    (folder / "s1" / "1.pgm").write_bytes(b"")
    with pytest.raises(KitError, match="wrong checksum"):
        assets.path("orl-faces")


def test_every_asset_can_be_credited_and_checked():
    for entry in assets.ASSETS.values():
        assert len(entry.sha256) == 64
        assert entry.licence
        assert entry.size_bytes > 0
        assert entry.carrier or entry.derived_from
        assert dataclasses.replace(entry).name == entry.name


def test_unknown_asset_suggests_the_nearest():
    with pytest.raises(KitError, match="Did you mean 'yunet'"):
        assets.path("yunett")
