"""PReLU written as sums and products, which onnxruntime's CPU kernels run several times faster than
their own PRelu.

That kernel decides at every value, and the processor guesses wrong at every second one: with real
faces it takes half of a recogniser's time (`python benchmarks/export.py` shows both forms). s x +
(1 - s) relu(x) is the same function without a decision. On a GPU one PRelu is one kernel instead of
four, so files for challenge servers keep it.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

STEEPEST = 8.0  # largest slope that is split: s x + (1 - s) x loses |s| roundings for positive x


def split(model: "onnx.ModelProto") -> int:
    """Replace every PRelu of constant slopes by Relu, two Mul and Add, in place; returns how many
    were replaced.

    Results differ from the PRelu's by float32 rounding. A slope that is no constant, no float32 or
    above `STEEPEST` stays.
    """
    from onnx import helper, numpy_helper

    slopes = {item.name: item for item in model.graph.initializer if item.data_type == 1}
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)} | {
        item.name for item in model.graph.initializer
    }
    nodes, count = [], 0
    for node in model.graph.node:
        slope = (
            numpy_helper.to_array(slopes[node.input[1]])
            if node.op_type == "PRelu" and len(node.input) == 2 and node.input[1] in slopes
            else None
        )
        if slope is None or not np.abs(slope).max(initial=0) <= STEEPEST:
            nodes.append(node)
            continue
        entry, out = node.input[0], node.output[0]
        own = {
            part: _fresh(f"{out}.{part}", taken)
            for part in ("rest", "positive", "bent", "straight")
        }
        model.graph.initializer.append(
            numpy_helper.from_array((1 - slope).astype(np.float32), own["rest"])
        )
        for number, (kind, inputs, output) in enumerate(
            (
                ("Relu", [entry], own["positive"]),
                ("Mul", [own["positive"], own["rest"]], own["bent"]),
                ("Mul", [entry, node.input[1]], own["straight"]),
                ("Add", [own["bent"], own["straight"]], out),
            )
        ):
            nodes.append(
                helper.make_node(kind, inputs, [output], f"{node.name or out}_part{number}")
            )
        count += 1
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return count


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
