"""Parity of the deep IResNets at full width: minutes on two cores and gigabytes of memory, so
only where asked for.
"""

import os

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from mfr_kit.models import weights
from mfr_kit.submission import export

from .conftest import settle

ASKED = os.environ.get("MFR_KIT_DEEP", "")


@pytest.mark.slow
@pytest.mark.parametrize("depth", [18, 34, 50, 100, 200])
def test_a_deep_network_is_exported_as_it_is(depth, tmp_path):
    if str(depth) not in ASKED.split(","):
        pytest.skip(
            f"MFR_KIT_DEEP does not name {depth}: MFR_KIT_DEEP=18,34,50,100,200 runs all of them"
        )
    torch.manual_seed(depth)
    model = settle(weights.build_backbone(f"iresnet{depth}"))
    path = tmp_path / "model.onnx"
    done = export.export_module(model, path, {})
    assert {"batch 1", "batch 2", "batch 32"} <= set(done.parity)
    assert max(done.parity.values()) <= export.TOLERANCE
    assert path.stat().st_size < 1024 * 2**20  # the challenge's limit
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    # other inputs than the export's own
    planes = np.random.default_rng(depth).uniform(-1, 1, (32, 3, 112, 112)).astype(np.float32)
    for batch in (1, 2, 32):
        found = session.run(None, {"input": planes[:batch]})[0]
        with torch.inference_mode():
            wanted = model(torch.from_numpy(planes[:batch])).numpy()
        cosines = (
            np.sum(wanted * found, axis=1)
            / np.linalg.norm(wanted, axis=1)
            / np.linalg.norm(found, axis=1)
        )
        assert found.shape == (batch, 512) and cosines.min() > 1 - 1e-4
        assert np.abs(found - wanted).max() < 1e-3 * np.abs(wanted).max()
    alone = np.concatenate([session.run(None, {"input": planes[i : i + 1]})[0] for i in range(3)])
    assert np.abs(alone - found[:3]).max() < 1e-3 * np.abs(found).max()
