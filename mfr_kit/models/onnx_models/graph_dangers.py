"""What a stranger's ONNX graph could do to the machine that runs it, seen before anything runs:
work without end, values of gigabytes, and weights from elsewhere on the disk.

A recogniser is one pass of layers whose sizes follow from the sizes of its input. What is no such
graph is refused; operators that onnxruntime does not have are left to it, and the kit registers
none.
"""

import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mfr_kit.data.named_files import leads_outside

if TYPE_CHECKING:
    import onnx

MOST_VALUE = 1 << 30  # bytes of one tensor for one face; the largest of a ViT-L is 10 MB
MOST_NODES = 1_000_000  # with functions written out
MOST_INLINE = 1 << 31  # bytes that a protobuf can hold
DEEPEST = 50  # functions that call each other
SMALL = 1024  # elements of a constant that may be a shape
FACE = {4: (1, 3, 112, 112)}
# operator -> inputs that say how large its output is
SIZES = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Tile": (1,),
    "Range": (0, 1, 2),
    "Pad": (1,),
    "Resize": (2, 3),
    "Upsample": (1,),
    "OneHot": (1,),
    "CenterCropPad": (1,),
    "MaxUnpool": (2,),
    "AffineGrid": (1,),
    "Col2Im": (1,),
    "DFT": (1,),
    "HannWindow": (0,),
    "HammingWindow": (0,),
    "BlackmanWindow": (0,),
    "MelWeightMatrix": (0, 1),
    "CropAndResize": (3,),
}


def find_danger(model: "onnx.ModelProto", path: Path) -> str:
    """Say why a graph must not be run, "" where nothing is seen.

    Args:
        model: parsed, its external data left where it lies.
        path: of the file.
    """
    return (
        _weights(model, path)
        or _functions(model)
        or _loops(model)
        or _pixels_as_sizes(model)
        or _large_value(model)
    )


def graphs_of(model: "onnx.ModelProto") -> Iterator["onnx.GraphProto | onnx.FunctionProto"]:
    """Yield the graph, its functions, and every graph inside of them."""
    waiting: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting += [attribute.g] if attribute.HasField("g") else []
                waiting += attribute.graphs


def tensors_of(model: "onnx.ModelProto") -> Iterator["onnx.TensorProto"]:
    """Yield every stored tensor; of a sparse one its values."""
    for graph in graphs_of(model):
        yield from getattr(graph, "initializer", ())
        yield from (item.values for item in getattr(graph, "sparse_initializer", ()))
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                if attribute.HasField("sparse_tensor"):
                    yield attribute.sparse_tensor.values
                yield from attribute.tensors


def _weights(model: "onnx.ModelProto", path: Path) -> str:
    """Tensors that claim more than a file can hold, and files that are not the model's."""
    for tensor in tensors_of(model):
        size = _bytes_of(tensor.dims, tensor.data_type)
        if tensor.data_location == tensor.EXTERNAL:
            entries = {item.key: item.value for item in tensor.external_data}
            reason = _elsewhere(path, entries.get("location", ""))
            if reason:
                return reason
        elif size > MOST_INLINE:
            return f"its constant '{tensor.name}' claims {_gib(size)}, which no ONNX file holds"
    for graph in graphs_of(model):
        for item in getattr(graph, "sparse_initializer", ()):
            size = _bytes_of(item.dims, item.values.data_type)
            if size > MOST_VALUE:
                return f"its sparse constant '{item.values.name}' unfolds to {_gib(size)}"
    return ""


def _elsewhere(path: Path, place: str) -> str:
    """Weights lie beside the model, or beside the file that the model's name is a link to."""
    name = place.replace("\\", "/")
    if leads_outside(name):
        return f"its weights lie in '{place}', outside of its folder"
    file = path.parent / name
    try:
        mode = os.stat(file).st_mode
    except (OSError, ValueError):
        return ""  # what is missing is said where it is missed
    if not stat.S_ISREG(mode):
        return f"its weights lie in '{place}', which is no plain file"
    real = os.path.realpath(file)
    homes = (os.path.realpath(path.parent), os.path.dirname(os.path.realpath(path)))
    if any(real.startswith(home.rstrip(os.sep) + os.sep) for home in homes):
        return ""
    return f"its weights in '{place}' are a link out of its folder"


def _loops(model: "onnx.ModelProto") -> str:
    """Nodes that run a graph of their own again and again: Loop, Scan, beam searches."""
    for graph in graphs_of(model):
        for node in graph.node:
            runs = any(item.HasField("g") or item.graphs for item in node.attribute)
            if (runs and node.op_type != "If") or node.op_type in ("Loop", "Scan", "SequenceMap"):
                name = node.name or ", ".join(node.output)
                return (
                    f"it holds a {node.op_type} ('{name}'), which may run without end; no "
                    "recogniser needs one: export it unrolled"
                )
    return ""


def _functions(model: "onnx.ModelProto") -> str:
    """Functions that call themselves, or each other so often that they unfold without end."""
    bodies = {(item.domain, item.name): item.node for item in model.functions}
    counts: dict[tuple[str, str], float] = {}

    def count(nodes, callers: tuple) -> float:
        total = 0.0
        for node in nodes:
            called = (node.domain, node.op_type)
            if called not in bodies:
                total += 1
                continue
            if called in callers or len(callers) > DEEPEST:
                return math.inf
            if called not in counts:
                counts[called] = count(bodies[called], (*callers, called))
            total += counts[called]
        return total

    if bodies and count(model.graph.node, ()) > MOST_NODES:
        return f"its functions unfold to more than {MOST_NODES:,} nodes, or call themselves"
    return ""


def _pixels_as_sizes(model: "onnx.ModelProto") -> str:
    """Values whose size follows from what a face shows, so that one face may take gigabytes."""
    constants = {item.name for item in model.graph.initializer}
    shown = {item.name for item in model.graph.input} - constants  # values that pixels decide

    def search(graph: "onnx.GraphProto") -> str:
        for node in graph.node:
            inputs = list(node.input)
            sizes = [inputs[at] for at in SIZES.get(node.op_type, ()) if at < len(inputs)]
            if shown.intersection(sizes):
                return (
                    f"the size of '{', '.join(node.output)}' ({node.op_type}) depends on what the "
                    "face shows: no recogniser's does"
                )
            inner = [item.g for item in node.attribute if item.HasField("g")]
            if found := next(filter(None, map(search, inner)), ""):
                return found
            made = shown.intersection(inputs) or any(
                shown.intersection(item.name for item in graph.output) for graph in inner
            )
            if made and node.op_type not in ("Shape", "Size"):
                shown.update(node.output)
        return ""

    return search(model.graph)


def _large_value(model: "onnx.ModelProto") -> str:
    """The values whose sizes the graph says for one face: none is of gigabytes.

    Sizes that the graph computes are not followed: onnx's own way to (`data_prop`) fills lists as
    long as a hostile size says. For those there are the limits of a process (models/trial.py).
    """
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(_outline(model)).graph
    except Exception:  # noqa: BLE001  a graph against the standard: onnxruntime says what is wrong with it
        return ""
    for item in (*inferred.value_info, *inferred.output):
        tensor = item.type.tensor_type
        size = _bytes_of([dim.dim_value for dim in tensor.shape.dim], tensor.elem_type)
        if size > MOST_VALUE:
            return f"its value '{item.name}' takes {_gib(size)} for one face"
    return ""


def _outline(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The graph for one face, large constants as inputs of their shapes."""
    import onnx
    from onnx import helper

    outline = onnx.ModelProto(ir_version=model.ir_version)
    outline.opset_import.extend(model.opset_import)
    outline.functions.extend(model.functions)
    graph = outline.graph
    graph.node.extend(model.graph.node)
    graph.output.extend(model.graph.output)
    names = {item.name for item in model.graph.initializer}
    for item in model.graph.initializer:
        if math.prod(item.dims) <= SMALL:
            graph.initializer.append(item)
        else:
            graph.input.append(helper.make_tensor_value_info(item.name, item.data_type, item.dims))
    for item in model.graph.input:
        if item.name in names:
            continue
        entry = graph.input.add()
        entry.CopyFrom(item)
        dims = entry.type.tensor_type.shape.dim
        for dim, usual in zip(dims, FACE.get(len(dims), ()), strict=False):
            if dim.dim_value <= 0:
                dim.dim_value = usual
    return outline


def _bytes_of(dims, kind: int) -> int:
    import onnx

    try:
        size = onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize
    except (KeyError, TypeError, ValueError):
        size = 1
    return math.prod(max(int(dim), 0) for dim in dims) * size


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
