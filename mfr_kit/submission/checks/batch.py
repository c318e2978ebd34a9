"""Rules about what the graph does to the batch: no face mirrored, repeated or joined with
another inside.
"""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import helper

from mfr_kit.submission import inside
from mfr_kit.submission.rules import Row, Subject, requirement

SHAPE_OPS = ("Shape", "Size")  # behind these a value is a size, no longer data
CONTROL = ("If", "Loop", "Scan", "SequenceMap")
GATHERS = ("Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "Scatter")
JOINS = ("Concat", "Split", "Squeeze", "SplitToSequence", "ConcatFromSequence")
COUNTED = ("Tile", "Expand")
LONGEST_RUN = 6  # descending steps in a row that no shuffle of channels has by chance
COLOURS = 3  # an axis of so many entries may be reversed: RGB to BGR
NOTE = "implicit batch inference is forbidden (note of 2021-07-16)"


def rows(subject: Subject) -> list[Row]:
    """Look for a flip test or another batch inside the graph: operations on the faces that repeat,
    join or mirror them.

    Indices, counts and axes that the graph computes are known by running it on one face.
    """
    if subject.proto is None:
        return []
    nodes = list(_on_faces(subject))
    seen = inside.observe(subject, *_wanted(nodes, subject))
    found = [f"{node.op_type} {node.name}".strip() for node in nodes if _mixes_batch(node, seen)]
    convolutions = [
        f"{node.op_type} {node.name}: {shape[0]} images"
        for node in nodes
        if node.op_type == "Conv"
        and (shape := seen.shapes.get(node.input[0]))
        and shape[0] != seen.batch
    ]
    return [
        requirement(
            "no batch inside the graph",
            "no flip, tile or join of faces",
            "; ".join((found + convolutions)[:5]) or "none",
            not found and not convolutions,
            NOTE,
        )
    ]


def attributes(node: onnx.NodeProto) -> dict:
    """A node's attributes as plain values by name; what has no known type is left out."""
    found = {}
    for item in node.attribute:
        try:
            found[item.name] = helper.get_attribute_value(item)
        except ValueError:
            continue
    return found


def _on_faces(subject: Subject) -> Iterator[onnx.NodeProto]:
    """The nodes that read faces or what is made of them, in the graph's order."""
    data = {item.name for item in subject.inputs}
    for node in subject.parsed.graph.node:
        if data.isdisjoint(_reads(node)) or node.op_type in SHAPE_OPS:
            continue
        data.update(node.output)
        yield node


def _reads(node: onnx.NodeProto) -> set[str]:
    """Names a node reads, those that its inner graphs take from outside included."""
    names = set(node.input)
    for item in node.attribute:
        for graph in (item.g, *item.graphs) if item.HasField("g") or item.graphs else ():
            for child in graph.node:
                names |= _reads(child)
    return names - {""}


def _wanted(nodes: list[onnx.NodeProto], subject: Subject) -> tuple[set[str], set[str]]:
    """Names of values (indices, counts, axes, steps) and of tensors whose shapes are to be
    observed; none in a plain chain of layers.
    """
    values: set[str] = set()
    shapes: set[str] = set()
    moved = False
    for node in nodes:
        places = _parameters(node)
        if places or node.op_type in (*JOINS, "Reshape", "Transpose", "Unsqueeze", "DepthToSpace"):
            moved = True
        if places or node.op_type in JOINS:
            values.update(node.input[place] for place in places if place < len(node.input))
            shapes.update(node.input[:1])
        if node.op_type == "Conv" and moved:
            shapes.update(node.input[:1])
    return values - {""} - subject.constants.keys(), shapes - {""}


def _parameters(node: onnx.NodeProto) -> tuple[int, ...]:
    """Which inputs of a node say how its first is moved."""
    if node.op_type in (*GATHERS, *COUNTED):
        return (1,)
    if node.op_type == "Slice":
        return (3, 4)
    return (1,) if node.op_type == "Squeeze" else ()


def _mixes_batch(node: onnx.NodeProto, seen: inside.Observed) -> bool:
    if node.op_type in CONTROL or node.op_type == "ReverseSequence":
        return True
    values = attributes(node)
    shape = seen.shapes.get(node.input[0]) if node.input else None
    if node.op_type in JOINS:
        axes = values.get("axes") or _values(node, 1, seen) if node.op_type == "Squeeze" else None
        axes = [values.get("axis", 0)] if axes is None else np.ravel(axes).tolist()
        return any(_axis(axis, shape) == 0 for axis in axes)
    if node.op_type in GATHERS:
        axis = _axis(values.get("axis", 0), shape)
        indices = _values(node, 1, seen)
        batch = node.op_type == "Gather" and axis == 0
        return batch or (indices is not None and _descends(indices))
    if node.op_type in COUNTED:
        return _repeats(node, shape, seen)
    return node.op_type == "Slice" and _turns(node, shape, seen)


def _repeats(node: onnx.NodeProto, shape: list[int] | None, seen: inside.Observed) -> bool:
    found = _values(node, 1, seen)
    if found is None:
        return True
    counts = np.ravel(found).tolist()
    if not counts:
        return False
    if node.op_type == "Tile" or shape is None:
        return counts[0] > 1
    new = counts[: max(0, len(counts) - len(shape))]  # Expand puts dimensions in front
    if new:
        return any(count > 1 for count in new)
    return len(counts) == len(shape) and counts[0] > max(seen.batch, shape[0])


def _turns(node: onnx.NodeProto, shape: list[int] | None, seen: inside.Observed) -> bool:
    """Whether a Slice walks backwards along an axis that is longer than the colours."""
    if len(node.input) < 5 or not node.input[4]:
        return False
    steps, axes = _values(node, 4, seen), _values(node, 3, seen)
    if steps is None:
        return True
    steps = np.ravel(steps)
    axes = np.arange(len(steps)) if axes is None else np.ravel(axes)
    turned = [_axis(int(axis), shape) for axis, step in zip(axes, steps, strict=False) if step < 0]
    if shape is None or not all(0 <= axis < len(shape) for axis in turned):
        return bool(turned)
    return any(shape[axis] > COLOURS for axis in turned)


def _descends(indices: np.ndarray) -> bool:
    """Whether indices run backwards along one of their axes, all the way or for long."""
    for axis in range(indices.ndim):
        falls = np.diff(indices, axis=axis) < 0
        steps = falls.shape[axis]
        if steps >= COLOURS and falls.all():
            return True
        if steps >= LONGEST_RUN:
            windows = np.lib.stride_tricks.sliding_window_view(falls, LONGEST_RUN, axis=axis)
            if windows.all(axis=-1).any():
                return True
    return False


def _values(node: onnx.NodeProto, place: int, seen: inside.Observed) -> np.ndarray | None:
    return seen.values.get(node.input[place]) if place < len(node.input) else None


def _axis(axis: int, shape: list[int] | None) -> int:
    return axis + len(shape) if axis < 0 and shape is not None else axis
