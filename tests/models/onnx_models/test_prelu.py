import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mfr_kit.models.onnx_models import prelu, runtime


def bent(slopes: np.ndarray, constant: bool = True) -> onnx.ModelProto:
    """x -> PRelu(x) over (N, C, 4, 4), its slopes stored in the file or given as a second input."""
    value, shape = helper.make_tensor_value_info, ["N", len(slopes), 4, 4]
    inputs = [value("x", TensorProto.FLOAT, shape)]
    stored = [numpy_helper.from_array(slopes.astype(np.float32).reshape(-1, 1, 1), "s")]
    if not constant:
        inputs.append(value("s", TensorProto.FLOAT, [len(slopes), 1, 1]))
    node = helper.make_node("PRelu", ["x", "s"], ["y"], "prelu_1")
    graph = helper.make_graph(
        [node], "g", inputs, [value("y", TensorProto.FLOAT, shape)], stored if constant else []
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)


def test_the_split_graph_is_the_same_function(tmp_path):
    slopes = np.array([0.0, 0.25, 1.0, 1.3, -0.4, 7.0])
    model = bent(slopes)
    onnx.save(model, tmp_path / "m.onnx")
    x = np.random.default_rng(0).normal(0, 3, (5, 6, 4, 4)).astype(np.float32)
    x[0, 0] = 0
    wanted = np.where(x > 0, x, x * slopes.astype(np.float32).reshape(-1, 1, 1))
    plain = runtime.open_session(tmp_path / "m.onnx")
    quick = runtime.open_session(tmp_path / "m.onnx", quick=True)
    for session in (plain, quick):
        np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted, rtol=2e-5, atol=1e-6)
    assert prelu.split(model) == 1
    assert [node.op_type for node in model.graph.node] == ["Relu", "Mul", "Mul", "Add"]
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize(
    "model",
    [
        bent(np.array([9.0, 0.1])),
        bent(np.array([0.1, np.nan])),
        bent(np.array([0.1]), constant=False),
    ],
)
def test_slopes_that_would_lose_digits_or_are_not_known_stay(model):
    before = model.SerializeToString()
    assert prelu.split(model) == 0
    assert model.SerializeToString() == before


def test_names_that_are_taken_are_left_alone():
    model = bent(np.array([0.5]))
    model.graph.initializer.append(numpy_helper.from_array(np.float32([4.0]), "y.rest"))
    prelu.split(model)
    onnx.checker.check_model(model, full_check=True)
    assert len({item.name for item in model.graph.initializer}) == len(model.graph.initializer)


def test_a_file_without_prelu_or_no_model_is_run_as_it_is(tmp_path):
    (tmp_path / "none.onnx").write_bytes(b"no model")
    assert runtime.quick_form(tmp_path / "none.onnx") == (None, [])
    assert runtime.quick_form(tmp_path / "missing.onnx") == (None, [])
    model = bent(np.array([0.5]))
    model.graph.node[0].op_type = "Mul"
    onnx.save(model, tmp_path / "mul.onnx")
    assert runtime.quick_form(tmp_path / "mul.onnx") == (None, [])
