"""Mirrors, copies and joins of faces inside a graph are found however they are written, and
plain shuffles are not taken for them.
"""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mfr_kit.submission import tracks
from mfr_kit.submission.checks import batch, behaviour
from mfr_kit.submission.rules import FAIL, Subject
from tests.models.odd_onnx import FLATTEN, body, value, write

RULE, MIRROR = "no batch inside the graph", "a mirrored face differs"


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs.split(), [output], f"{kind}_{output}", **attributes)


def constant(name, values, kind=np.int64):
    return numpy_helper.from_array(np.array(values, kind), name)


def failed(tmp_path, nodes, constants=(), rooms=(batch, behaviour), **more):
    path = write(tmp_path / "m.onnx", nodes=nodes, constants=list(constants), **more)
    onnx.checker.check_model(onnx.load(path))
    subject = Subject(path, tracks.load("unconstrained"), latency=False)
    return {row.rule for room in rooms for row in room.rows(subject) if row.verdict == FAIL}


def flip_test(*mirror):
    """The sum of a face's embedding and that of its mirror image `back`, by two branches."""
    other = [
        helper.make_node("Conv", ["back", "w"], ["conv2"], "conv2", strides=[16, 16]),
        node("Relu", "conv2", "act2"),
        node("GlobalAveragePool", "act2", "mean2"),
        node("Add", "mean mean2", "sum"),
        node("Flatten", "sum", "emb"),
    ]
    return [*mirror, *body(), *other]


BACKWARDS = [constant("at", 3), constant("one", 1), constant("zero", 0)]
FROM_SHAPE = [
    node("Shape", "data", "sizes"),
    node("Gather", "sizes at", "width", axis=0),
    node("Sub", "width one", "last"),
    node("Range", "zero width one", "columns"),
    node("Sub", "last columns", "order"),
    node("Gather", "data order", "back", axis=3),
]
ELEMENTS = np.broadcast_to(np.arange(111, -1, -1), (1, 3, 112, 112))
EXCHANGE = np.eye(112, dtype=np.float32)[::-1]
INNER = helper.make_graph(
    [node("Gather", "data order", "turned", axis=3)], "then", [], [value("turned", None)]
)
SAME = helper.make_graph([node("Identity", "data", "same")], "else", [], [value("same", None)])
MIRRORS = {
    "Range of constants": (
        [node("Range", "a b c", "i"), node("Gather", "data i", "back", axis=3)],
        [constant("a", 111), constant("b", -1), constant("c", -1)],
    ),
    "Range of the shape": (FROM_SHAPE, BACKWARDS),
    "stored indices": (
        [node("Gather", "data i", "back", axis=-1)],
        [constant("i", range(111, -1, -1))],
    ),
    "a computed step": (
        [node("Neg", "one", "step"), node("Slice", "data from to axis step", "back")],
        [
            constant("one", [1]),
            constant("from", [-1]),
            constant("to", [-999]),
            constant("axis", [3]),
        ],
    ),
    "ReverseSequence": (
        [
            node("Transpose", "data", "t", perm=[3, 1, 0, 2]),
            node("ReverseSequence", "t lengths", "r", batch_axis=1, time_axis=0),
            node("Transpose", "r", "back", perm=[2, 1, 3, 0]),
        ],
        [constant("lengths", [112] * 3)],
    ),
    "GatherElements": (
        [
            node("Shape", "data", "sizes"),
            node("Expand", "i sizes", "ii"),
            node("GatherElements", "data ii", "back", axis=3),
        ],
        [constant("i", ELEMENTS)],
    ),
    "a branch": (
        [node("If", "yes", "back", then_branch=INNER, else_branch=SAME)],
        [constant("yes", True, bool), constant("order", range(111, -1, -1))],
    ),
}


@pytest.mark.parametrize("case", MIRRORS)
def test_a_mirror_is_found_in_the_graph_and_by_what_it_does(tmp_path, case):
    mirror, constants = MIRRORS[case]
    assert failed(tmp_path, flip_test(*mirror), constants) == {RULE, MIRROR}


def test_a_mirror_by_a_matrix_is_found_by_what_it_does(tmp_path):
    nodes = flip_test(node("MatMul", "data turn", "back"))
    assert failed(tmp_path, nodes, [constant("turn", EXCHANGE, np.float32)]) == {MIRROR}
    joined = [
        *nodes[:-2],
        node("Concat", "mean mean2", "both", axis=1),
        node("Flatten", "both", "emb"),
    ]
    more = {"outputs": [value("emb", ["N", 16])]}
    assert failed(tmp_path, joined, [constant("turn", EXCHANGE, np.float32)], **more) == {MIRROR}


BATCHES = {
    "joined along -4": [node("Concat", "data data", "x", axis=-4)],
    "joined as colours, then reshaped": [
        node("Concat", "data data", "six", axis=1),
        node("Reshape", "six faces", "x"),
    ],
    "a computed Tile": [node("Add", "ones first", "counts"), node("Tile", "data counts", "x")],
    "Expand in front": [node("Expand", "data wide", "xx"), node("Reshape", "xx faces", "x")],
}


@pytest.mark.parametrize("case", BATCHES)
def test_another_batch_inside_is_found(tmp_path, case):
    constants = [
        constant("faces", [-1, 3, 112, 112]),
        constant("ones", [1, 1, 1, 1]),
        constant("first", [1, 0, 0, 0]),
        constant("wide", [2, 1, 1, 1, 1]),
    ]
    nodes = [*BATCHES[case], *body("x"), *FLATTEN]
    assert RULE in failed(tmp_path, nodes, constants, rooms=(batch,))


HARMLESS = {
    "RGB to BGR by indices": [node("Gather", "data bgr", "x", axis=1)],
    "RGB to BGR by a step": [node("Slice", "data from to axis step", "x")],
    "a shuffle of columns": [node("Gather", "data shuffled", "x", axis=3)],
    "a crop": [node("Slice", "data zero hundred axes", "cut"), node("Pad", "cut border", "x")],
    "reshaped by its own shape": [node("Shape", "data", "s"), node("Reshape", "data s", "x")],
    "Expand to its own shape": [node("Shape", "data", "s"), node("Expand", "data s", "x")],
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_only_looks_like_it_passes(tmp_path, case):
    shuffled = np.random.default_rng(3).permutation(112)
    assert (np.diff(shuffled) < 0)[:-1].any()
    constants = [
        constant("bgr", [2, 1, 0]),
        constant("shuffled", shuffled),
        *(
            constant(name, [at])
            for name, at in (("from", -1), ("to", -9), ("axis", 1), ("step", -1))
        ),
        constant("zero", [0, 0]),
        constant("hundred", [100, 100]),
        constant("axes", [2, 3]),
        constant("border", [0, 0, 0, 0, 0, 0, 12, 12]),
    ]
    assert failed(tmp_path, [*HARMLESS[case], *body("x"), *FLATTEN], constants) == set()


def test_squeezed_maps_are_no_batch(tmp_path):
    nodes = [*body(), node("Squeeze", "mean sides", "emb")]
    assert failed(tmp_path, nodes, [constant("sides", [2, 3])]) == set()


def test_a_tensor_of_undefined_type_is_a_failed_row(tmp_path):
    from mfr_kit.submission import check

    path = write(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.graph.initializer[0].data_type = TensorProto.UNDEFINED
    path.write_bytes(model.SerializeToString())
    rows = {row.rule: row for row in check.check(path, "ms1m")}
    for rule in ("weight type", "weights fill their shapes", "loads in onnxruntime"):
        assert rows[rule].verdict == FAIL
    assert "UNDEFINED" in rows["weight type"].found
    assert rows["input shape"].verdict == "pass"  # the other rules are judged all the same
