"""Read a safetensors file: eight bytes of length, a JSON header of names, types, shapes and
offsets, then the numbers.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mfr_kit.errors import KitError

TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read every tensor of a file by its name.

    Raises:
        KitError: damaged, cut short, or with a type that is none of `TYPES`; names the tensor.
    """
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length].decode("utf-8"))
        entries = {name: _entry(entry) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise KitError(f"{path} is no safetensors file, or cut short: copy it again") from None
    numbers = memoryview(data)[8 + length :]
    return {name: _tensor(f"{path}: '{name}'", numbers, *entry) for name, entry in entries.items()}


def _entry(entry: dict) -> tuple[str, list[int], int, int]:
    start, stop = entry["data_offsets"]
    shape = entry["shape"]
    if not all(isinstance(value, int) and value >= 0 for value in (start, stop, *shape)):
        raise ValueError("no numbers")
    return str(entry["dtype"]), shape, start, stop


def _tensor(
    where: str, numbers: memoryview, kind: str, shape: list[int], start: int, stop: int
) -> Tensor:
    if kind not in TYPES:
        raise KitError(f"{where} is of type {kind}; read are {', '.join(TYPES)}")
    size = math.prod(shape) * torch.empty(0, dtype=TYPES[kind]).element_size()
    if stop > len(numbers) or stop - start != size:
        raise KitError(f"{where} is cut short: copy the file again")
    raw = np.frombuffer(numbers[start:stop], np.uint8).copy()
    return torch.from_numpy(raw).view(TYPES[kind]).reshape(shape)
