"""onnxruntime sessions, opened one way everywhere: on the CPU, providers named, without a warning on the screen."""

from pathlib import Path
from typing import TYPE_CHECKING

from mfr_kit.errors import KitError
from mfr_kit.models import prelu

if TYPE_CHECKING:
    import onnxruntime


def open_session(
    model: Path | bytes, threads: int = 0, *, quick: bool = False
) -> "onnxruntime.InferenceSession":
    """Open an ONNX file (or its bytes) on the CPU.

    Args:
        model: path, or the serialised model.
        threads: within one operation, 0 for all cores; between operations always 1.
        quick: of a path: run what models/prelu.py makes of the graph, where the results count and not the file itself.
    Raises:
        KitError: onnxruntime refuses the file; its first line is given.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    name = "the exported graph" if isinstance(model, bytes) else str(model)
    if not isinstance(model, bytes):
        model = (prelu.split_file(model) if quick else None) or str(model)
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  onnxruntime's exceptions share no base class below Exception
        raise KitError(
            f"{name} cannot be loaded by onnxruntime: {str(error).splitlines()[0]}"
        ) from None
