import pytest
from onnx import TensorProto, helper

from mfr_kit.cli import main
from mfr_kit.errors import KitError
from mfr_kit.models import trial
from mfr_kit.models.spec import ModelSpec
from tests.models import odd_onnx
from tests.models.onnx_models.hostile_onnx import constant

LIMITS = ("--limit-mib", "2048")


@pytest.fixture
def bomb(tmp_path):
    """32 GiB whose size the graph computes, which nobody sees without running it."""
    nodes = [
        helper.make_node("Mul", ["side", "side"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["huge"]),
        helper.make_node("ReduceMean", ["huge"], ["big"], keepdims=0),
        *odd_onnx.body(),
        helper.make_node("Add", ["mean", "big"], ["sum"]),
        helper.make_node("Flatten", ["sum"], ["emb"]),
    ]
    return odd_onnx.write(
        tmp_path / "bomb.onnx", nodes=nodes, constants=[constant("side", [92_682])]
    )


def test_a_value_that_the_graph_computes_ends_the_trial(bomb):
    with pytest.raises(KitError, match=r"bomb\.onnx") as error:
        trial.try_models([str(bomb)], 600, 2048, "minus1_to_1")
    assert len(str(error.value).splitlines()) == 1


def test_evaluate_and_inspect_try_before_they_run(bomb, drawn_set, capsys):
    for command in (
        ["evaluate", str(bomb), "--data", str(drawn_set.folder), *LIMITS],
        ["inspect", str(bomb), *LIMITS],
    ):
        assert main(command) == 2
        assert "bomb.onnx" in capsys.readouterr().err


def test_check_fails_in_rows_or_one_line(bomb, capsys):
    assert main(["check", str(bomb), "--track", "unconstrained", "--no-latency", *LIMITS]) in (2, 3)
    assert "Traceback" not in "".join(capsys.readouterr())


def test_what_is_sound_passes_and_what_does_not_say_is_tried_all_the_same(tmp_path):
    path = odd_onnx.write(tmp_path / "m.onnx", kind=TensorProto.FLOAT)
    trial.try_models([f"{path}:raw_0_255,sface", str(path)], 600, 2048)


def test_ours_is_not_foreign(tmp_path):
    path = odd_onnx.write(tmp_path / "m.onnx")
    assert trial.is_foreign(ModelSpec(str(path), None))
    for place in ("sface", str(tmp_path), str(tmp_path / "gone.onnx")):
        assert not trial.is_foreign(ModelSpec(place, None))
