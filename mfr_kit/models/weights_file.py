"""Read the tensors of a weights file, whoever wrote it: `torch.save` in any of its habits, or
safetensors. No code of a file ever runs.
"""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mfr_kit.errors import KitError
from mfr_kit.models.packed_layers import quiet_reading, unpack
from mfr_kit.models.safetensors import read_safetensors
from mfr_kit.registry import near_path

WHOLE = ""  # the name of the tensors that lie in no entry of their own
DEPTH = 4  # dicts inside dicts that are looked into
SAVE = "save the weights alone: torch.save(model.state_dict(), 'weights.pth')"
State = dict[str, Tensor]


def read_file(path: Path, advice: str = "") -> Any:
    """Read what `torch.save` wrote, onto the CPU (`weights_only`, so that no code of the file
    runs), or a safetensors file.

    Args:
        path: of the file.
        advice: what the user can do about a broken one, at the end of the complaint.
    Raises:
        KitError: missing, unreadable, or something that only its own program can read; says what to
            do.
    """
    path = Path(path)
    if path.is_dir():
        raise KitError(f"{path} is a folder, no weights file")
    try:
        if path.suffix.lower() == ".safetensors":
            return read_safetensors(path)
        if _is_torchscript(path):
            raise KitError(
                f"{path} is TorchScript, a compiled program, no weights: where it was made, "
                f"{SAVE}, or export it to ONNX (torch.onnx.export): a teacher or a student as it is"
            )
        with quiet_reading():
            return torch.load(path, map_location="cpu", weights_only=True)
    except KitError as error:
        raise KitError(f"{error}{advice}") from None
    except FileNotFoundError:
        raise KitError(f"no such weights file: {path}{near_path(path)}") from None
    except Exception as error:  # noqa: BLE001  torch raises pickle, zip, EOF and runtime errors for a broken file
        raise KitError(
            f"{path} cannot be read as weights: {_reason(path, error)}{advice}"
        ) from None


def _reason(path: Path, error: Exception) -> str:
    """Say in the kit's words why torch refused a file, and what to do."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    with path.open("rb") as file:
        head = file.read(64)
    names = dict.fromkeys(re.findall(r"GLOBAL ([\w.]+)", str(error)))
    if names:
        holds = f"it holds Python objects ({', '.join(names)}), which are code and are not run"
        return f"{holds}: where it was made, {SAVE}"
    return _odd_start(head) or "it is cut short, damaged, or no file of torch.save: copy it again"


def _odd_start(head: bytes) -> str:
    """Name what is often found in place of a file that was to be downloaded, by its first bytes."""
    if not head:
        return "it is empty: copy it again"
    if head.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS: fetch the file itself with `git lfs pull`"
    return "it is a web page: download the file itself" if head.lstrip().startswith(b"<") else ""


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
    return any("/code/" in name or name.endswith("/constants.pkl") for name in names)


def read_state(path: Path) -> State:
    """Read the one state dict of a file, its keys as they are.

    Raises:
        KitError: see `read_states`; or the file holds several.
    """
    states = read_states(path)
    if len(states) > 1:
        raise KitError(f"{path} holds several state dicts ({', '.join(states)}): {SAVE}")
    return next(iter(states.values()))


def read_states(path: Path) -> dict[str, State]:
    """Read every dict of tensors in a file, by the name of its entry (`state_dict`, `model`, ...),
    `WHOLE` where there is none.

    Floats of any precision become float32, and so do the int8 linear layers of torch's dynamic
    quantisation.

    Raises:
        KitError: unreadable, without tensors by name, or with tensors that are no plain numbers or
            not finite.
    """
    return states_in(read_file(path), str(path))


def states_in(content: Any, where: str) -> dict[str, State]:
    """Find every dict of tensors in what `read_file` returned; see `read_states`."""
    found: dict[str, State] = {}
    _collect(content, WHOLE, DEPTH, found, where)
    if not found:
        raise KitError(f"{where} holds no state dict (tensors by name): {_instead(content)}{SAVE}")
    return {name: _plain(state, where) for name, state in found.items()}


def _collect(content: Any, name: str, depth: int, found: dict[str, State], where: str) -> None:
    """Add the dicts of tensors below `content`; loose tensors count only where no dict of
    tensors lies beside them.
    """
    if not isinstance(content, Mapping) or not depth:
        return
    before = len(found)
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, Mapping):
            _collect(value, f"{name}/{key}" if name else key, depth - 1, found, where)
    if len(found) > before:
        return
    tensors = {
        key: value
        for key, value in unpack(content, where).items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }
    if tensors:
        found[name] = tensors


def _instead(content: Any) -> str:
    if isinstance(content, Mapping) and any(
        isinstance(value, Tensor) for value in content.values()
    ):
        return "its tensors go by numbers instead of names; "
    return f"found a {type(content).__name__}; " if not isinstance(content, Mapping) else ""


def _plain(state: State, where: str) -> State:
    """Return detached tensors, floats as float32.

    Raises:
        KitError: a quantised, sparse or complex tensor, or a value that is not finite; names the
            key.
    """
    plain = {}
    for key, tensor in state.items():
        if tensor.is_quantized or tensor.is_sparse or tensor.is_complex() or tensor.is_meta:
            raise KitError(f"{where}: '{key}' is no tensor of plain numbers ({tensor.dtype})")
        value = tensor.detach()
        if value.is_floating_point():
            value = value.to(torch.float32)
            if not torch.isfinite(value).all():
                raise KitError(
                    f"{where}: '{key}' holds numbers that are not finite: its training broke down"
                )
        plain[key] = value
    return plain
