"""The challenge server's own onnxruntime, 1.6.0, runs what we export. It needs Python 3.8 and
gets an environment of its own.
"""

import os
import shutil
import subprocess

import numpy as np
import onnxruntime
import pytest
import torch

from mfr_kit import assets
from mfr_kit.models import preprocess, weights
from mfr_kit.submission import export
from tests.submission.conftest import one_of_each_family, settle

WANTED = ("onnxruntime==1.6.0", "numpy<1.24")
RUN = """
import sys, numpy, onnxruntime
assert onnxruntime.__version__ == "1.6.0", onnxruntime.__version__
session = onnxruntime.InferenceSession(sys.argv[1])
planes = numpy.load(sys.argv[2])
found = [session.run(None, {session.get_inputs()[0].name: planes[:size]})[0] for size in (1, 2, 32)]
numpy.savez(sys.argv[3], *found)
"""


@pytest.fixture(scope="module")
def python_with_16():
    """An interpreter with onnxruntime 1.6.0, kept in the kit's cache; the tests are skipped
    where it cannot be had.
    """
    folder = assets.home() / "interop-onnxruntime-1.6"
    ready = folder / "ready"
    if not ready.exists():
        make_environment(folder)
        ready.write_text("\n".join(WANTED))
    return folder / "bin" / "python"


def make_environment(folder):
    base = shutil.which("python3.8") or shutil.which("python")
    env = {**os.environ, "PYENV_VERSION": "3.8.18"}
    shown = subprocess.run(
        [base, "--version"], env=env, capture_output=True, text=True, check=False
    )
    if "Python 3.8." not in shown.stdout:
        pytest.skip("no Python 3.8 here (pyenv 3.8.18 or python3.8), which onnxruntime 1.6.0 needs")
    subprocess.run([base, "-m", "venv", "--clear", folder], env=env, check=True)
    done = subprocess.run(
        [folder / "bin" / "pip", "install", "-q", *WANTED],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(
            f"onnxruntime 1.6.0 could not be installed: {done.stderr.strip().splitlines()[-1]}"
        )


@pytest.mark.parametrize(
    ("backbone", "opset", "for_cpu"),
    [
        *((name, 11, False) for name in one_of_each_family()),
        ("mobilefacenet", 13, False),
        ("mobilefacenet", 11, True),
    ],
)
def test_the_servers_runtime_gives_the_same_embeddings(
    python_with_16, backbone, opset, for_cpu, tmp_path
):
    torch.manual_seed(0)
    metadata = {preprocess.META_NORMALISATION: "minus1_to_1"}
    export.export_module(
        settle(weights.build_backbone(backbone, 32, 0.25)),
        tmp_path / "model.onnx",
        metadata,
        opset,
        for_cpu=for_cpu,
    )
    planes = preprocess.to_input(export.colour_faces(32), "minus1_to_1")
    np.save(tmp_path / "planes.npy", planes)
    call = [
        python_with_16,
        "-c",
        RUN,
        tmp_path / "model.onnx",
        tmp_path / "planes.npy",
        tmp_path / "found.npz",
    ]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    with np.load(tmp_path / "found.npz") as found:
        for name, size in (("arr_0", 1), ("arr_1", 2), ("arr_2", 32)):
            wanted = session.run(None, {"input": planes[:size]})[0]
            assert found[name].shape == wanted.shape
            assert export.cosine_difference(wanted, found[name]).max() < 1e-6
