"""onnxruntime's execution providers: which one a device means, whether this onnxruntime has it, and
whether a session runs on it.

onnxruntime falls back to the CPU without an error where a provider cannot be started (a driver or a
library that is missing), so every session that is opened for a device is looked at afterwards.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mfr_kit.errors import KitError

NAMES = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
CPU = "CPUExecutionProvider"
EXTRA = "pip install 'mfr-kit[gpu]'"
WARNING, ERROR, FATAL = 2, 3, 4  # onnxruntime's severities
GUIDE = "docs/guides/gpu.md"
WHEELS = ("onnxruntime", "onnxruntime-gpu")


@dataclass(frozen=True)
class Provider:
    """Where a session runs: the `engine`, "cuda" or "tensorrt", of one CUDA device.

    `tf32` lets CUDA round the inputs of float32 products to 10 bits of mantissa.
    """

    engine: str = "cuda"
    number: int = 0
    tf32: bool = False

    @property
    def label(self) -> str:
        """How a line for the user calls it."""
        return f"{self.engine}:{self.number}"


def parse_provider(device: str) -> Provider | None:
    """Return the provider that a `--device` names; None for one that onnxruntime has no provider
    for: "cpu", "mps".
    """
    engine, _, number = device.partition(":")
    if engine not in NAMES:
        return None
    if number and not number.isdecimal():
        raise KitError(f"--device {device}: give {engine} or {engine}:N")
    return Provider(engine, int(number or 0))


def starts(provider: Provider) -> bool:
    """Whether a provider that is offered can be started on this machine: a graph of one node is."""
    import onnxruntime
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=7).SerializeToString()
    try:
        with logging_from(FATAL):
            session = onnxruntime.InferenceSession(
                model, providers=in_order(provider), enable_fallback=0
            )
    except Exception:  # noqa: BLE001  onnxruntime's exceptions share no base class below Exception
        return False
    return NAMES[provider.engine] in session.get_providers()


@contextlib.contextmanager
def logging_from(severity: int) -> Iterator[None]:
    """Let onnxruntime itself, not its sessions, log only what is at least so severe."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(severity)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(WARNING)  # as onnxruntime begins


def is_offered(engine: str) -> bool:
    """Whether the installed onnxruntime was built with a provider; starting it may yet fail."""
    import onnxruntime

    return NAMES[engine] in onnxruntime.get_available_providers()


def in_order(provider: Provider | None) -> list[Any]:
    """Return what a session is given as `providers`, the preferred one first; None is the CPU."""
    if provider is None:
        return [CPU]
    cuda: dict[str, str] = {
        "device_id": str(provider.number),
        "use_tf32": str(int(provider.tf32)),
        # the usual exhaustive search is repeated for every batch size, the last one of a set too
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    chosen: list[Any] = [(NAMES["cuda"], cuda), CPU]
    if provider.engine == "tensorrt":
        chosen.insert(0, (NAMES["tensorrt"], {"device_id": str(provider.number)}))
    return chosen


def refuse_missing(provider: Provider, what: str) -> None:
    """Refuse a provider that this onnxruntime was not built with.

    Args:
        provider: asked for.
        what: is to run on it; the error begins with it.
    Raises:
        KitError: names the extra, and says where two packages of onnxruntime overwrite each other.
    """
    if is_offered(provider.engine):
        return
    raise KitError(
        f"{what}: the installed onnxruntime has no {provider.engine} provider: {how_to_install()}"
    )


def how_to_install() -> str:
    """Say what gives onnxruntime its CUDA provider, as the end of a line."""
    both = all(_is_installed(name) for name in WHEELS)
    why = "onnxruntime and onnxruntime-gpu overwrite each other" if both else EXTRA
    return f"{why} ({GUIDE} says how), or give --device cpu"


def refuse_fallback(session: Any, provider: Provider) -> None:
    """Refuse a session that onnxruntime silently put on the CPU.

    Raises:
        KitError: the provider cannot be started.
    """
    if NAMES[provider.engine] not in session.get_providers():
        raise KitError(
            f"onnxruntime cannot start its {provider.engine} provider and fell back to the CPU "
            f"(a driver, CUDA or cuDNN it was not built for?): see {GUIDE}, or give --device cpu"
        )


def _is_installed(name: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version  # email and zip come with it

    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
