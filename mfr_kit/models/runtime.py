"""onnxruntime sessions, opened one way everywhere: on the CPU, providers named, without a
warning on the screen.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from mfr_kit.errors import KitError
from mfr_kit.models import onnx_file, prelu
from mfr_kit.models.notes import say_once

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime

FATAL = 4  # log level: what fails is raised and said once, not logged beside it


def open_session(
    model: Path | bytes, threads: int = 0, *, quick: bool = False
) -> "onnxruntime.InferenceSession":
    """Open an ONNX file (or its bytes) on the CPU.

    Args:
        model: path, or the serialised model.
        threads: within one operation, 0 for all cores; between operations always 1.
        quick: of a path: run its `quick_form`, where the results count and not the file itself.
    Raises:
        KitError: onnxruntime refuses the file; one line says why, in the names of the file itself.
    """
    if not isinstance(model, bytes) and not Path(model).is_file():
        reason = onnx_file.why_no_model(Path(model))
        raise KitError(f"{model} cannot be loaded by onnxruntime: {reason}")
    if isinstance(model, bytes):
        try:
            return _open(model, threads)
        except Exception as error:  # noqa: BLE001  onnxruntime's exceptions share no base class below Exception
            reason = onnx_file.one_line(error)
            raise KitError(
                f"the exported graph cannot be loaded by onnxruntime: {reason}"
            ) from None
    form, slopes = quick_form(Path(model)) if quick else (None, [])
    if form is not None:
        try:
            session = _open(form, threads)
        except Exception:  # noqa: BLE001, S110  the file itself is tried below, and speaks of its own nodes
            pass
        else:
            _say_slopes(model, slopes)
            return session
    try:
        return _open(str(model), threads)
    except Exception as error:  # noqa: BLE001  see above
        reason = onnx_file.explain(Path(model), error)
        raise KitError(f"{model} cannot be loaded by onnxruntime: {reason}") from None


def quick_form(path: Path) -> tuple[bytes | None, list[str]]:
    """A model with a free batch where it says 0, slopes by channel where no others fit, and its
    PReLUs split.

    Returns:
        The model, None where the file is run as it is: nothing to change, too large to be held
        twice, or unreadable. The names of the PRelu nodes whose slopes are read by channel.
    """
    model = onnx_file.load_with_weights(path)
    if model is None:
        return None, []
    try:
        freed, slopes = onnx_file.free_batch(model), onnx_file.shape_slopes(model)
        changed = prelu.split(model) or freed or slopes
        return (model.SerializeToString(), slopes) if changed else (None, [])
    except Exception:  # noqa: BLE001  a graph against the standard: onnxruntime says what is wrong with it
        return None, []


def run(
    session: "onnxruntime.InferenceSession", outputs: list[str] | None, feeds: dict, name: str
) -> list["np.ndarray"]:
    """Run a session.

    Raises:
        KitError: onnxruntime stops; one line begins with `name` and says why.
    """
    try:
        return session.run(outputs, feeds)
    except Exception as error:  # noqa: BLE001  onnxruntime's exceptions share no base class below Exception
        raise KitError(f"{name} does not run: {onnx_file.one_line(error)}") from None


def metadata_of(session: "onnxruntime.InferenceSession", name: str) -> dict[str, str]:
    """What a file says of itself; nothing, with a note, where that is not text."""
    try:
        return dict(session.get_modelmeta().custom_metadata_map)
    except UnicodeDecodeError:
        say_once(f"{name}: its metadata is not UTF-8 (a damaged file?) and is left out")
        return {}


def _open(model: str | bytes, threads: int) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = FATAL
    return onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"], enable_fallback=0
    )


def _say_slopes(path: Path, nodes: list[str]) -> None:
    if nodes:
        say_once(
            f"{path}: the slopes of {len(nodes)} PRelu (first {nodes[0]}) have shape (C,), which "
            "fits channels only: "
            "they are read as (C, 1, 1)"
        )
