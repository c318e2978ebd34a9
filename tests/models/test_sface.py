import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from mfr_kit import assets
from mfr_kit.errors import KitError
from mfr_kit.models import preprocess
from mfr_kit.models.backbones import sface
from mfr_kit.models.weights import load_state


def test_the_torch_network_gives_the_onnx_embedding():
    path = assets.path("sface")
    model = sface.build()
    load_state(model, sface.state_from_onnx(path), str(path))
    rng = np.random.default_rng(3)
    faces = np.concatenate(
        [
            rng.integers(0, 256, (2, 112, 112, 3), dtype=np.uint8),
            np.full((1, 112, 112, 3), 250, np.uint8),
        ]
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = session.run(
        None, {session.get_inputs()[0].name: preprocess.to_input(faces, "raw_0_255")}
    )[0]
    with torch.inference_mode():
        found = model.eval()(preprocess.to_tensor(faces)).numpy()
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_another_model_is_refused_by_the_tensor_it_lacks(tmp_path):
    node = onnx.helper.make_node("Identity", ["data"], ["fc1"])
    value = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 112, 112])
        for name in ("data", "fc1")
    ]
    onnx.save(
        onnx.helper.make_model(onnx.helper.make_graph([node], "g", value[:1], value[1:])),
        tmp_path / "other.onnx",
    )
    with pytest.raises(KitError, match="no tensor 'conv_1_conv2d_weight'"):
        sface.state_from_onnx(tmp_path / "other.onnx")
