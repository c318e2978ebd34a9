"""What an ONNX recogniser takes and gives: which input, of which type and layout, in which
batches, and which output.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.models import preprocess
from mfr_kit.models.onnx_models import onnx_file, runtime

if TYPE_CHECKING:
    import onnxruntime

FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
BFLOAT16 = "tensor(bfloat16)"
# Whole numbers can only be pixels as they are; int8 is left out, as 0..255 does not fit.
PIXELS = {
    f"tensor({kind})": np.dtype(kind).type
    for kind in ("uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
}
LAYOUTS = {(3, 112, 112): "NCHW", (112, 112, 3): "NHWC"}


@dataclass(frozen=True)
class Signature:
    """One input and one output of a session. `batch` is None where any number of faces may be
    fed at once.
    """

    input: str
    kind: str  # onnxruntime's name of the input's type
    layout: str  # "NCHW" or "NHWC"
    batch: int | None
    output: str
    others: tuple[str, ...] = ()  # outputs that were not chosen

    @property
    def takes_pixels(self) -> bool:
        """Whether the input is of whole numbers, which only pixels 0..255 can be."""
        return self.kind in PIXELS

    def feed(self, faces: np.ndarray, normalisation: str) -> dict:
        """Turn (B, 112, 112, 3) uint8 RGB faces into what a session's `run` is given."""
        planes = preprocess.to_input(faces, normalisation)
        if self.layout == "NHWC":
            planes = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        if self.kind == BFLOAT16:
            return {self.input: _bfloat16(planes)}
        kind = (FLOATS | PIXELS)[self.kind]
        return {self.input: planes.astype(kind, copy=False)}

    def run(self, session, faces: np.ndarray, normalisation: str, name: str) -> np.ndarray:
        """Embed (B, 112, 112, 3) uint8 RGB faces, all at once -> (B, D) float32.

        Raises:
            KitError: onnxruntime stops, or the output is not one row of numbers for each face; it
                begins with `name`.
        """
        out = runtime.run(session, [self.output], self.feed(faces, normalisation), name)[0]
        return as_rows(out, len(faces), name)


def read_signature(
    session: "onnxruntime.InferenceSession", name: str, output: str | None = None
) -> Signature:
    """Find the input that takes faces and the output to keep.

    Args:
        session: an opened recogniser. Inputs that are initializers too are no inputs.
        name: what errors call the model.
        output: name of the output to keep where there are several.
    Raises:
        KitError: not exactly one input of 112x112 faces, several outputs and none chosen, or an
            output that is no embedding.
    """
    try:
        inputs, outputs = session.get_inputs(), session.get_outputs()
        for item in (*inputs, *outputs):
            _shown(item)
    except UnicodeDecodeError:
        raise KitError(
            f"{name}: names of its inputs or outputs are not UTF-8: a damaged file"
        ) from None
    entry, batch, layout = _face_input(inputs, name)
    chosen = _choose(outputs, name, output)
    if chosen.type not in FLOATS:
        raise KitError(
            f"{name}: output '{onnx_file.printable(chosen.name)}' is {chosen.type}; an embedding "
            "is float numbers" + (_others(outputs, chosen) if len(outputs) > 1 else "")
        )
    others = tuple(item.name for item in outputs if item.name != chosen.name)
    return Signature(entry.name, entry.type, layout, batch, chosen.name, others)


def _face_input(inputs: list, name: str):
    if not inputs:
        raise KitError(f"{name} has no input that faces could be fed to")
    if len(inputs) != 1:
        found = ", ".join(_shown(item) for item in inputs)
        raise KitError(
            f"{name} needs {len(inputs)} inputs, a recogniser of faces has one: {found}; "
            "export it with the others as constants"
        )
    entry = inputs[0]
    shape = [_size(size) for size in entry.shape or [None] * 4]  # none declared: any may be meant
    layout = next((kind for dims, kind in LAYOUTS.items() if _fits(shape[1:], dims)), None)
    if layout is None:
        hint = "the batch dimension is missing" if len(shape) == 3 else "faces are 112x112, RGB"
        raise KitError(
            f"{name} is no recogniser of 112x112 faces: input {_shown(entry)}, wanted (N, 3, "
            f"112, 112): {hint}"
        )
    if entry.type not in FLOATS | PIXELS and entry.type != BFLOAT16:
        raise KitError(
            f"{name}: input {_shown(entry)} cannot be fed with faces: wanted float, float16, "
            "double or uint8"
        )
    return entry, shape[0], layout


def _choose(outputs: list, name: str, wanted: str | None):
    if not outputs:
        raise KitError(f"{name}: its graph has no outputs")
    named = {item.name: item for item in outputs}
    if wanted in named:
        return named[wanted]
    shown = ", ".join(_shown(item) for item in outputs)
    if len(outputs) == 1:
        return outputs[0]
    if wanted is not None:
        raise KitError(f"{name} has no output '{wanted}': --output takes one of {shown}")
    raise KitError(
        f"{name} has {len(outputs)} outputs: {shown}; say which is the embedding: --output NAME"
    )


def _others(outputs: list, chosen) -> str:
    rest = ", ".join(_shown(item) for item in outputs if item.name != chosen.name)
    return f"; --output may name another: {rest}"


def as_rows(out, count: int, name: str) -> np.ndarray:
    """Return (B, D) float32 of an output (B, D), (B, D, 1, 1) or, for one face, (D,).

    Raises:
        KitError: another shape; it begins with `name`.
    """
    shape = np.shape(out)
    wide = [size for size in shape[1:] if size != 1]
    if len(shape) == 1 and count == 1 and shape[0] > 1:
        out, shape, wide = np.reshape(out, (1, -1)), (1, *shape), [shape[0]]
    if len(shape) < 2 or shape[0] != count or len(wide) > 1 or 0 in shape[1:]:
        raise KitError(
            f"{name}: {count} faces gave an output of shape {tuple(shape)}; a recogniser gives "
            "one row of numbers per face"
        )
    return np.asarray(out, np.float32).reshape(count, -1)


def _shown(item) -> str:
    sizes = ", ".join("?" if size is None else onnx_file.printable(size) for size in item.shape)
    return (
        f"'{onnx_file.printable(item.name)}' "
        f"{item.type.removeprefix('tensor(').removesuffix(')')} ({sizes})"
    )


def _size(size: object) -> int | None:
    """A dimension's size; None where it is named, unknown, 0 or negative: any."""
    return size if isinstance(size, int) and size > 0 else None


def _fits(found: list[int | None], wanted: tuple[int, ...]) -> bool:
    return len(found) == len(wanted) and all(
        size in (None, right) for size, right in zip(found, wanted, strict=True)
    )


def _bfloat16(planes: np.ndarray):
    """float32 rounded to the nearest bfloat16, which NumPy does not have."""
    import onnxruntime
    from onnx import TensorProto

    bits = np.ascontiguousarray(planes, np.float32).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(rounded, TensorProto.BFLOAT16)
