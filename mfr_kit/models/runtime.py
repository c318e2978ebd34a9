"""onnxruntime sessions, opened one way everywhere: on the CPU, providers named, without a warning on the screen."""

from pathlib import Path
from typing import TYPE_CHECKING

from mfr_kit.errors import KitError

if TYPE_CHECKING:
    import onnxruntime


def open_session(model: Path | bytes, threads: int = 0) -> "onnxruntime.InferenceSession":
    """Open an ONNX file (or its bytes) on the CPU.

    Args:
        model: path, or the serialised model.
        threads: within one operation, 0 for all cores; between operations always 1.
    Raises:
        KitError: onnxruntime refuses the file; its first line is given.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    name = "the exported graph" if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  onnxruntime's exceptions share no base class below Exception
        raise KitError(f"{name} cannot be loaded by onnxruntime: {str(error).splitlines()[0]}") from None
