"""What of a written file has to be equal whenever it is written."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import torch

TIMES = {"images_per_s", "steps_per_s", "waits_for_loader", "left_s", "seconds"}
CURVES = "progress.html"  # drawn over time


def content(path: Path, besides: frozenset[str] = frozenset()) -> Any:
    """Read what of a file has to be equal: times need not, nor the keys `besides` of a record."""
    data = path.read_bytes()
    if path.name == CURVES:
        return data[-8:]
    if path.suffix == ".pt":  # equal values may be pickled in other bytes
        with contextlib.suppress(Exception):  # half of one is its bytes
            return _values(torch.load(io.BytesIO(data), weights_only=True))
    try:
        if path.suffix == ".jsonl":
            return [_timeless(json.loads(line), besides) for line in data.splitlines()]
        if path.suffix == ".json" and path.parent.parent.name == "records":
            return _timeless(json.loads(data), besides)
    except ValueError:
        pass  # half of one
    return data


def _values(found: Any) -> Any:
    """What a checkpoint holds, so that == compares it bit for bit and in its order."""
    if isinstance(found, torch.Tensor):
        return (str(found.dtype), tuple(found.shape), found.contiguous().numpy().tobytes())
    if isinstance(found, dict):
        return [(key, _values(value)) for key, value in found.items()]
    if isinstance(found, list | tuple):
        return [_values(value) for value in found]
    return found


def _timeless(record: Any, besides: frozenset[str]) -> Any:
    if not isinstance(record, dict):
        return record
    return {key: value for key, value in record.items() if key not in TIMES | besides}
