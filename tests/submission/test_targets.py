"""Files for other runtimes are the same function, or are refused with the reason."""

import importlib.util

import numpy as np
import pytest
import torch

from mfr_kit.cli import main
from mfr_kit.errors import KitError
from mfr_kit.models import weights
from mfr_kit.submission import targets


def need(target):
    module, extra = targets.NEEDS[target]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed: pip install 'mfr-kit[{extra}]'")


def test_an_openvino_file_is_the_same_function(run, tmp_path, capsys):
    need(targets.OPENVINO)
    out = tmp_path / "m.onnx"
    assert main(["export-onnx", str(run), "--out", str(out), "--runs-on", "openvino"]) == 0
    assert "m.xml" in capsys.readouterr().out
    planes = np.random.default_rng(0).uniform(-1, 1, (3, 3, 112, 112)).astype(np.float32)
    with torch.inference_mode():
        wanted = weights.load_run(run).model(torch.from_numpy(planes)).numpy()
    found = targets.open_openvino(tmp_path / "m.xml")(planes)
    np.testing.assert_allclose(found, wanted, atol=1e-3 * np.abs(wanted).max())
    assert sorted(item.name for item in tmp_path.iterdir()) == ["m.bin", "m.onnx", "m.xml"]


def test_a_tflite_file_is_the_same_function(run, tmp_path):
    need(targets.TFLITE)
    made = targets.convert(run, run / "model.onnx", targets.TFLITE)
    assert made.parity < 1e-6
    made.paths[0].unlink()


def test_a_file_that_disagrees_is_not_written(run, tmp_path, monkeypatch):
    monkeypatch.setattr(targets, "require", lambda target: None)

    def broken(network, model, part):
        part.with_suffix(".xml").write_bytes(b"x")
        return [part.with_suffix(".xml")], lambda planes: planes[:, 0, 0, :64]

    monkeypatch.setattr(targets, "_openvino", broken)
    with pytest.raises(KitError, match="openvino file disagrees with torch"):
        targets.convert(run, tmp_path / "m.onnx", targets.OPENVINO)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_run_here_is_refused_before_the_work(run, tmp_path, capsys, monkeypatch):
    out = tmp_path / "m.onnx"
    command = ["export-onnx", str(run), "--out", str(out), "--runs-on"]
    assert main([*command, "coreml"]) == 2
    assert "runs its files on macOS alone" in capsys.readouterr().err
    monkeypatch.setitem(targets.NEEDS, targets.TFLITE, ("no_such_converter", "tflite"))
    assert main([*command, "tflite"]) == 2
    assert "pip install 'mfr-kit[tflite]'" in capsys.readouterr().err
    assert not out.exists()
