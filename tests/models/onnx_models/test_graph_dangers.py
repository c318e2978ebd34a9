"""A stranger's graph is looked at before it runs: what could run without end, take gigabytes or
read other files is refused in one line.
"""

import onnx
import pytest
from onnx import helper

from mfr_kit.errors import KitError
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.onnx_models import onnx_file, runtime
from mfr_kit.submission import check
from tests.models import odd_onnx
from tests.models.onnx_models.hostile_onnx import MODELS, constant


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "in"
    made.mkdir()
    return made


@pytest.mark.parametrize("kind", MODELS)
def test_a_hostile_model_is_refused_before_it_runs(folder, kind, monkeypatch):
    path = folder / "m.onnx"
    MODELS[kind](path)
    monkeypatch.setattr(runtime, "_open", lambda *given: pytest.fail("it was run"))
    for refused in (
        lambda: load_embedder(path, normalisation="minus1_to_1"),
        lambda: runtime.open_session(path),
        lambda: onnx_file.load_with_weights(path),
    ):
        with pytest.raises(onnx_file.Dangerous) as error:
            refused()
        assert str(error.value).startswith(f"{path}: ")
        assert len(str(error.value).splitlines()) == 1


def test_check_gives_rows_for_one(folder):
    MODELS["endless_loop"](folder / "m.onnx")
    rows = {row.rule: row for row in check.check(folder / "m.onnx", "unconstrained", latency=False)}
    for rule in ("readable as ONNX", "loads in onnxruntime"):
        assert rows[rule].verdict == "fail"
        assert "a Loop ('forever')" in rows[rule].found


def test_branches_and_sizes_of_the_input_are_no_danger(folder):
    value = helper.make_tensor_value_info("sized", onnx.TensorProto.FLOAT, None)
    expand = helper.make_node("Expand", ["data", "shape"], ["sized"])
    branch = helper.make_graph([expand], "branch", [], [value])
    nodes = [
        helper.make_node("Shape", ["data"], ["shape"]),
        helper.make_node("If", ["yes"], ["same"], then_branch=branch, else_branch=branch),
        *odd_onnx.body("same"),
        *odd_onnx.FLATTEN,
    ]
    path = odd_onnx.write(folder / "m.onnx", nodes=nodes, constants=[constant("yes", True, bool)])
    assert load_embedder(path, normalisation="minus1_to_1").embedding_size == odd_onnx.D


def test_weights_beside_the_model_are_its_own(folder):
    path = odd_onnx.with_external(odd_onnx.write(folder / "m.onnx"), "w.bin")
    assert onnx_file.load(path)
    # as the cache of a hub has them: both names are links to one folder of files
    shown = folder.parent / "snapshot"
    shown.mkdir()
    for name in ("m.onnx", "w.bin"):
        (shown / name).symlink_to(folder / name)
    assert onnx_file.load(shown / "m.onnx")


def test_a_model_that_lacks_its_weights_is_not_dangerous(folder):
    path = odd_onnx.with_external(odd_onnx.write(folder / "m.onnx"), "w.bin")
    (folder / "w.bin").unlink()
    with pytest.raises(KitError, match=r"its weights lie in 'w\.bin', which is not there"):
        runtime.open_session(path)
