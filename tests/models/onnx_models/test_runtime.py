import onnx
import pytest

from mfr_kit.errors import KitError
from mfr_kit.models import weights
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.onnx_models import runtime


def add_one() -> onnx.ModelProto:
    value = onnx.helper.make_tensor_value_info
    one = onnx.helper.make_tensor("one", onnx.TensorProto.FLOAT, [1], [1.0])
    nodes = [onnx.helper.make_node("Add", ["x", "one"], ["y"])]
    graph = onnx.helper.make_graph(
        nodes, "g", [value("x", 1, ["N"])], [value("y", 1, ["N"])], [one]
    )
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 11)], ir_version=6
    )


def test_a_path_and_its_bytes_open_alike(tmp_path):
    onnx.save(add_one(), tmp_path / "m.onnx")
    for given in (tmp_path / "m.onnx", (tmp_path / "m.onnx").read_bytes()):
        session = runtime.open_session(given, threads=1)
        assert session.get_providers() == ["CPUExecutionProvider"]
        assert session.get_session_options().intra_op_num_threads == 1
        assert session.run(None, {"x": [1.0, 2.0]})[0].tolist() == [2.0, 3.0]


def test_what_onnxruntime_refuses_is_one_line(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"no model")
    for read in (
        runtime.open_session,
        lambda path: load_embedder(path, normalisation="minus1_to_1"),
    ):
        with pytest.raises(KitError, match=r"m\.onnx cannot be loaded by onnxruntime") as caught:
            read(tmp_path / "m.onnx")
        assert "\n" not in str(caught.value)
    with pytest.raises(KitError, match="the exported graph cannot be loaded"):
        runtime.open_session(b"no model")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04cut off", b"\x80\x02cos\nsystem\n."])
def test_a_broken_torch_file_is_one_line_with_advice(tmp_path, content):
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(
        KitError, match=r"last\.pt cannot be read as weights: .*\. Delete it\.$"
    ) as caught:
        weights.read_file(tmp_path / "last.pt", ". Delete it.")
    assert "\n" not in str(caught.value)
    with pytest.raises(KitError, match="no such weights file"):
        weights.read_file(tmp_path / "none.pt")
