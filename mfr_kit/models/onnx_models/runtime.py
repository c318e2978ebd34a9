"""onnxruntime sessions, opened one way everywhere: providers named, never another than asked for,
without a warning on the screen.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from mfr_kit import providers
from mfr_kit.errors import KitError
from mfr_kit.models.notes import say_once
from mfr_kit.models.onnx_models import onnx_file, prelu

if TYPE_CHECKING:
    import numpy as np
    import onnx
    import onnxruntime


def open_session(
    model: Path | bytes,
    threads: int = 0,
    *,
    quick: bool = False,
    provider: providers.Provider | None = None,
) -> "onnxruntime.InferenceSession":
    """Open an ONNX file (or its bytes).

    Args:
        model: path, or the serialised model.
        threads: within one operation, 0 for all cores; between operations always 1.
        quick: of a path: run its `quick_form`, where the results count and not the file itself.
        provider: where it runs; None for the CPU.
    Raises:
        KitError: onnxruntime refuses the file, one line says why, in the names of the file itself;
            it is dangerous (see `onnx_file.load`); or onnxruntime does not have the provider, or
            cannot start it.
    """
    if provider is not None:
        providers.refuse_missing(provider, _named(model))
    if isinstance(model, bytes):
        return _open_or_explain(model, threads, provider)
    if not Path(model).is_file():
        reason = onnx_file.why_no_model(Path(model))
        raise KitError(f"{model} cannot be loaded by onnxruntime: {reason}")
    # on a device one PRelu is one kernel
    form, slopes = quick_form(Path(model), split=provider is None) if quick else (None, [])
    if form is not None:
        try:
            session = _open(form, threads, provider)
        except Exception:  # noqa: BLE001, S110  the file itself is tried below, and speaks of its own nodes
            pass
        else:
            _say_slopes(model, slopes)
            return session
    if not quick:  # else `quick_form` has looked
        onnx_file.refuse_dangerous(Path(model))
    return _open_or_explain(Path(model), threads, provider)


def _named(model: Path | bytes) -> str:
    return "the exported graph" if isinstance(model, bytes) else str(model)


def _open_or_explain(
    model: Path | bytes, threads: int, provider: providers.Provider | None
) -> "onnxruntime.InferenceSession":
    try:
        return _open(model if isinstance(model, bytes) else str(model), threads, provider)
    except KitError as error:
        raise KitError(f"{_named(model)}: {error}") from None
    except Exception as error:  # noqa: BLE001  onnxruntime's exceptions share no base class below Exception
        reason = (
            onnx_file.one_line(error)
            if isinstance(model, bytes)
            else onnx_file.explain(model, error)
        )
        raise KitError(f"{_named(model)} cannot be loaded by onnxruntime: {reason}") from None


def mended(path: Path) -> tuple["onnx.ModelProto | None", list[str], bool]:
    """Read a model with a free batch where it says 0, and slopes by channel where no others fit.

    Returns:
        The model with its weights, None where it is unreadable or too large to be held twice; the
        names of the PRelu nodes whose slopes are read by channel; whether anything was changed.
    """
    model = onnx_file.load_with_weights(path)
    if model is None:
        return None, [], False
    try:
        freed, slopes = onnx_file.free_batch(model), onnx_file.shape_slopes(model)
    except Exception:  # noqa: BLE001  a graph against the standard: onnxruntime says what is wrong with it
        return None, [], False
    return model, slopes, bool(freed or slopes)


def quick_form(path: Path, split: bool = True) -> tuple[bytes | None, list[str]]:
    """A `mended` model with its PReLUs split.

    Returns:
        The model, None where the file is run as it is: nothing to change, too large to be held
        twice, or unreadable. The names of the PRelu nodes whose slopes are read by channel.
    """
    model, slopes, changed = mended(path)
    if model is None:
        return None, []
    try:
        changed = bool(split and prelu.split(model)) or changed
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


def _open(
    model: str | bytes, threads: int, provider: providers.Provider | None
) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = providers.FATAL
    if provider is None:
        return onnxruntime.InferenceSession(
            model, options, providers=providers.in_order(None), enable_fallback=0
        )
    with providers.logging_from(providers.ERROR):  # the library that is missing, by name
        session = onnxruntime.InferenceSession(
            model, options, providers=providers.in_order(provider), enable_fallback=0
        )
    providers.refuse_fallback(session, provider)
    return session


def _say_slopes(path: Path, nodes: list[str]) -> None:
    if nodes:
        say_once(
            f"{path}: the slopes of {len(nodes)} PRelu (first {nodes[0]}) have shape (C,), which "
            "fits channels only: "
            "they are read as (C, 1, 1)"
        )
