"""What an ONNX file is before anything runs it: read it, say in one line why it cannot be read,
and mend what other exporters leave.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mfr_kit.errors import KitError
from mfr_kit.models.onnx_models.graph_dangers import find_danger, tensors_of

if TYPE_CHECKING:
    import onnx

MOST_BYTES = 1 << 30  # larger files run as they are: a protobuf may not exceed 2 GiB, held twice
LONGEST_REASON = 300  # characters
HEAD_BYTES = 512
# What people have in hand instead of a model, by how the file begins (lower case, without leading
# blanks).
STRANGERS = (
    (b"version https://git-lfs", "it is a git-lfs pointer, not the model: run `git lfs pull`"),
    (b"<!doctype", "it is a web page, not a model: download the file itself"),
    (b"<html", "it is a web page, not a model: download the file itself"),
    (b"<?xml", "it is XML, not a model: a download that failed?"),
    (b"{", "it is JSON text, not a model: a download that failed?"),
    (b"pk\x03\x04", "it is a zip (a torch file?), not an ONNX model: unpack or export it first"),
    (b"\x1f\x8b", "it is compressed with gzip: unpack it first"),
    (b"\x80\x02", "it is a pickle (a torch file?), not an ONNX model: export it first"),
    (b"\x89hdf", "it is HDF5 (a Keras file?), not an ONNX model: convert it first"),
)


class Dangerous(KitError):
    """A file that must not be run."""


def one_line(error: object) -> str:
    """Onnxruntime's and onnx's own reason as one line that begins with the reason: no error
    codes, no place in their sources.
    """
    text = printable(error) or type(error).__name__
    text = re.sub(
        r"(Exception during initialization: )?\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", text
    )
    text = re.sub(r"Load model from .*? failed:\s*", "", text)
    text = _without_signatures(text).removeprefix("Exception during initialization: ")
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."


def printable(text: object) -> str:
    """A name from somebody's file as part of one line: blanks for line breaks, nothing that
    moves a terminal's cursor.
    """
    joined = " ".join(str(text).split())
    return "".join(character for character in joined if character.isprintable())


def load(path: Path) -> "onnx.ModelProto":
    """Parse a file, its external data left where it lies.

    Raises:
        KitError: it is a folder, empty, something else than ONNX, cut short, or holds no graph with
            an output.
        Dangerous: it could run without end, take gigabytes, or read files from elsewhere.
    """
    import onnx

    reason = why_no_model(path)
    if reason:
        raise KitError(f"{path}: {reason}")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # noqa: BLE001  protobuf raises several kinds for a broken file
        raise KitError(
            f"{path}: it is no ONNX file, or it was cut short ({one_line(error)})"
        ) from None
    if not model.graph.node:
        raise KitError(f"{path}: it holds no graph")
    if not model.graph.output:
        raise KitError(f"{path}: its graph has no outputs")
    danger = find_danger(model, path)
    if danger:
        raise Dangerous(f"{path}: {printable(danger)}")
    return model


def refuse_dangerous(path: Path) -> None:
    """Look at a file before it runs.

    Raises:
        Dangerous: see `load`. What cannot be read is none: onnxruntime says so.
    """
    try:
        load(path)
    except Dangerous:
        raise
    except KitError:
        pass


def why_no_model(path: Path) -> str:
    """Say what a file is when its first bytes show that it is no ONNX; empty where they do not."""
    if path.is_dir():
        return "it is a folder, not an ONNX file"
    if path.exists() and not path.is_file():  # a pipe or a device may never end
        return "it is a pipe or a device, not an ONNX file"
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    if not head:
        return "it is empty (0 bytes)"
    if not head.strip(b"\0"):
        return f"its first {len(head)} bytes are zeros: a download or copy that failed"
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((text for start, text in STRANGERS if begin.startswith(start)), "")


def explain(path: Path, error: object) -> str:
    """Why onnxruntime refused a file: what the file itself shows, else onnxruntime's words."""
    text = " ".join(str(error).split())
    newest = re.search(
        r"[Uu]nsupported model IR version: (\d+), max supported IR version: (\d+)", text
    )
    if newest:
        return (
            f"IR version {newest[1]} is newer than this onnxruntime reads ({newest[2]}): "
            "update onnxruntime, or export the model with an older onnx"
        )
    opset = re.search(r"[Oo]pset (\d+) is under development.*till opset (\d+)", text)
    if opset:
        return (
            f"opset {opset[1]} is newer than this onnxruntime reads ({opset[2]}): "
            "update onnxruntime, or export the model with an older opset"
        )
    try:
        model = load(path)
    except KitError as found:
        return str(found).removeprefix(f"{path}: ")
    return _missing_external(model, path.parent) or one_line(error)


def external_files(model: "onnx.ModelProto", folder: Path) -> list[Path]:
    """The files beside a model in which its weights lie, each once, sorted; they may be missing."""
    places = {
        entry.value
        for tensor in tensors_of(model)
        if tensor.data_location == tensor.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return [folder / place for place in sorted(places)]


def load_with_weights(path: Path) -> "onnx.ModelProto | None":
    """Read a model with its external data; None where it is too large to be held and written
    again, or cannot be read.

    Raises:
        Dangerous: see `load`.
    """
    import onnx

    try:
        model = load(path)
        size = sum(file.stat().st_size for file in (path, *external_files(model, path.parent)))
        if size > MOST_BYTES:
            return None
        onnx.load_external_data_for_model(model, str(path.parent))
    except Dangerous:
        raise
    except Exception:  # noqa: BLE001  onnxruntime says what is wrong with it
        return None
    return model


def free_batch(model: "onnx.ModelProto") -> bool:
    """Name a first dimension of 0, which old exporters write for a free batch, in inputs and
    outputs; True where there was one.

    Onnxruntime takes a 0 at its word and refuses every face.
    """
    found = False
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if len(dims) > 1 and dims[0].HasField("dim_value") and dims[0].dim_value <= 0:
            dims[0].dim_param = "N"
            found = True
    if found:
        del model.graph.value_info[:]  # their batch was 0 too
    return found


def shape_slopes(model: "onnx.ModelProto") -> list[str]:
    """Give PRelu slopes of shape (C,) the shape (C, 1, 1), in place, where only that can be meant;
    returns the nodes' names.

    By the standard (C,) lies along the width: a run stops unless C is the width. Exporters that
    wrote it (MXNet's) mean channels.
    """
    import onnx

    slopes = {item.name: item for item in model.graph.initializer if len(item.dims) == 1}
    nodes = [
        node
        for node in model.graph.node
        if node.op_type == "PRelu" and len(node.input) == 2 and node.input[1] in slopes
    ]
    if all(slopes[node.input[1]].dims[0] == 1 for node in nodes):
        return []
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception:  # noqa: BLE001  a graph whose shapes are not known stays as it is
        return []
    shapes = {
        item.name: [dim.dim_value for dim in item.type.tensor_type.shape.dim]
        for item in (*graph.value_info, *graph.input)
    }
    changed = []
    for node in nodes:
        slope, entry = slopes[node.input[1]], shapes.get(node.input[0], [])
        size = slope.dims[0]
        if len(slope.dims) != 1 and slope.dims[1:] == [1, 1]:  # shared with a node before
            changed.append(node.name or node.output[0])
        elif len(entry) == 4 and size > 1 and entry[1] == size and entry[3] not in (0, size):
            slope.dims[:] = [size, 1, 1]
            changed.append(node.name or node.output[0])
    return changed


def _missing_external(model: "onnx.ModelProto", folder: Path) -> str:
    for file in external_files(model, folder):
        if not file.is_file():
            name = file.relative_to(folder) if file.is_relative_to(folder) else file
            return (
                f"its weights lie in '{name}', which is not there: copy it beside the model "
                "under that name"
            )
    return ""


def _without_signatures(text: str) -> str:
    """Leave out `/onnxruntime_src/file.cc:12 type Class::name(arguments) const`, which goes
    before onnxruntime's reason.
    """
    while found := re.search(r"\S*onnxruntime\S*\.(?:cc|h|cpp):\d+ [^(]*\(", text):
        depth, at = 1, found.end()
        while at < len(text) and depth:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        rest = text[at:].strip().removeprefix("const ").strip()
        if not rest:
            return text
        text = f"{text[: found.start()]}{rest}"
    return text
