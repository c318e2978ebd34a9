"""Where networks run: `--device` turned into a device that is there, or refused in one line."""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mfr_kit.errors import KitError
from mfr_kit.providers import Provider

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PRECISIONS = ("float32", "tf32", "bf16")  # of a recogniser's products
KINDS = "auto, cpu, cuda, cuda:N, tensorrt, tensorrt:N or mps"
_PATTERN = re.compile(r"auto|cpu|mps|(?:cuda|tensorrt)(?::(\d+))?")


def resolve(name: str) -> "torch.device":
    """Return the device that a `--device` means to this process.

    `auto` is CUDA where torch sees it, else the CPU; `tensorrt` is CUDA with ONNX files run through
    TensorRT. Under torchrun a rank takes the device of its own number on its machine
    (`LOCAL_RANK`).

    Args:
        name: one of `KINDS`.
    Raises:
        KitError: an unknown name, a device that is not there, or more ranks than devices.
    """
    import torch

    found = _PATTERN.fullmatch(name)
    if found is None:
        raise KitError(f"--device {name}: not known; give {KINDS}")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise KitError("--device mps: torch offers none on this machine; use --device cpu")
        return torch.device("mps")
    return torch.device("cuda", _number(name, found.group(1)))


def resolve_unless_cpu(name: str) -> "torch.device | None":
    """Return what `resolve` does, and None for "cpu" without loading torch, which takes seconds."""
    return None if name == "cpu" else resolve(name)


def is_first_rank() -> bool:
    """Whether this process is the one that speaks for its machine under torchrun."""
    return _environment("LOCAL_RANK", 0) == 0


def _number(name: str, asked: str | None) -> int:
    """Return the number of the CUDA device that this process takes."""
    import torch

    if not torch.cuda.is_available():
        raise KitError(
            f"--device {name}: torch sees no CUDA device; use --device cpu or a CUDA build of torch"
        )
    count, ranks = torch.cuda.device_count(), _environment("LOCAL_WORLD_SIZE", 1)
    if asked is not None and ranks > 1:
        raise KitError(
            f"--device {name}: under torchrun every rank takes a device of its own; give "
            "--device cuda"
        )
    if ranks > count:
        raise KitError(
            f"{ranks} ranks on a machine with {count} CUDA device(s): start torchrun with "
            f"--nproc-per-node {count}, or give --device cpu"
        )
    number = int(asked) if asked is not None else _environment("LOCAL_RANK", 0)
    if number >= count:
        raise KitError(
            f"--device cuda:{number}: torch sees {count} CUDA device(s), cuda:0 to cuda:{count - 1}"
        )
    return number


def _environment(name: str, default: int) -> int:
    """Read a number that torchrun says."""
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default


def provider_of(name: str, place: "torch.device", precision: str) -> Provider | None:
    """Return the provider of onnxruntime for a `--device` and what `resolve` made of it; None where
    onnxruntime has only the CPU, or not in this precision.
    """
    if place.type != "cuda" or precision == "bf16":
        return None
    engine = "tensorrt" if name.startswith("tensorrt") else "cuda"
    return Provider(engine, place.index or 0, precision == "tf32")


def refuse_precision(precision: str, kind: str, what: str) -> None:
    """Refuse a precision that a kind of device, "cpu", "cuda" or "mps", cannot have.

    Raises:
        KitError: begins with `what`.
    """
    if precision == "tf32" and kind != "cuda":
        raise KitError(f"{what}: tf32 is of CUDA devices; on {kind} give --precision float32")


def set_tf32(allowed: bool) -> None:
    """Say whether float32 products on CUDA may round their inputs to TF32 (10 bits of mantissa).

    torch allows it in convolutions unless told otherwise; elsewhere than on CUDA nothing changes.
    """
    import torch

    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


@contextlib.contextmanager
def products_in(precision: str, kind: str) -> Iterator[None]:
    """Compute the products of a network in a precision, whatever others have set, and leave what
    they have set as it was.

    Args:
        precision: one of `PRECISIONS`.
        kind: of the device.
    """
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    try:
        if kind == "cuda":
            set_tf32(precision == "tf32")
        with torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        if kind == "cuda":
            matmul.allow_tf32, cudnn.allow_tf32 = before


def pin(tensor: "Tensor", device: "torch.device") -> "Tensor":
    """Bring a tensor to where `send` to the device takes it from without waiting."""
    return tensor.pin_memory() if device.type == "cuda" and tensor.device.type == "cpu" else tensor


def send(tensor: "Tensor", device: "torch.device") -> "Tensor":
    """Copy to a device; to CUDA through pinned memory, so that nobody waits for the copy."""
    return pin(tensor, device).to(device, non_blocking=device.type == "cuda")
