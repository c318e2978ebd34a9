"""The rows of a head, and of its optimiser's moments, in a folder that the ranks which hold them
write together, and that any other number of ranks reads.
"""

import io
import pickle
import shutil
import warnings
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint import FileSystemReader
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import StorageMeta

from mfr_kit.errors import KitError
from mfr_kit.files import move_into_place
from mfr_kit.leftovers import PART

PREFIX = "last-"  # of the folder's name, which the step follows
NAMED = "head_rows"  # in last.pt: which folder
_METADATA = "torch.distributed.checkpoint.metadata"
# what torch's index of a folder is made of; nothing else is loaded
_INDEX = {
    *((_METADATA, name) for name in ("Metadata", "TensorStorageMetadata", "TensorProperties")),
    *((_METADATA, name) for name in ("ChunkStorageMetadata", "MetadataIndex", "StorageMeta")),
    (_METADATA, "_MEM_FORMAT_ENCODING"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.serialization", "_get_layout"),
    ("torch", "Size"),
    ("torch", "float32"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
}


def begin(place: Path, rows: Mapping[str, tuple[int, Tensor]], group: Any) -> Future:
    """Begin to write this rank's rows; training may go on.

    Args:
        place: of the folder when it is whole.
        rows: the first row's number, and (n, D) rows, by name.
        group: of the ranks, used by nothing else until the future is done.
    """
    parts = {
        f"{name}.{start}": part.detach().to("cpu", copy=True)
        for name, (start, part) in rows.items()
    }
    writer = dcp.FileSystemWriter(place.with_name(place.name + PART))
    return cast(Future, dcp.async_save(parts, storage_writer=writer, process_group=group))


def settle(place: Path) -> None:
    """Give the folder its name; one process at a time. What lies there was never named."""
    shutil.rmtree(place, ignore_errors=True)
    move_into_place(place.with_name(place.name + PART), place)


def read(place: Path, start: int, stop: int) -> dict[str, Tensor]:
    """Read the rows start .. stop-1 by name, whoever wrote them.

    Raises:
        KitError: the folder is damaged or not there; names it.
    """
    try:
        return _join(_load(_Reader(place), start, stop), start, stop)
    except BaseException as error:
        if not isinstance(error, (Exception, CheckpointException)):
            raise
        raise KitError(
            f"{place} does not hold the head that last.pt names ({reason_of(error)}). Delete both "
            "to start the run again."
        ) from None


def _load(reader: Any, start: int, stop: int) -> dict[str, Tensor]:
    """Load the parts that hold some of the rows."""
    parts = {}
    for key, about in reader.read_metadata().state_dict_metadata.items():
        first = int(key.rpartition(".")[2])
        if first < stop and first + about.size[0] > start:
            parts[key] = torch.empty(about.size, dtype=about.properties.dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        dcp.load(parts, storage_reader=reader, no_dist=True)
    return parts


def reason_of(error: BaseException) -> str:
    """Say in a few words what torch's checkpoints failed by, on whichever rank."""
    failures = getattr(error, "failures", {})
    first = next(iter(failures.values()))[0] if failures else error
    lines = str(first).strip().splitlines()
    return (lines[-1] if lines else type(first).__name__)[:100]


def _join(parts: dict[str, Tensor], start: int, stop: int) -> dict[str, Tensor]:
    found: dict[str, list[tuple[int, Tensor]]] = {}
    for key, part in parts.items():
        name, _, first = key.rpartition(".")
        found.setdefault(name, []).append((int(first), part))
    joined = {}
    for name, pieces in found.items():
        pieces.sort(key=lambda piece: piece[0])
        rows = [part[max(start - first, 0) : max(stop - first, 0)] for first, part in pieces]
        joined[name] = torch.cat(rows)
        if len(joined[name]) != stop - start:
            raise ValueError(f"{name} has {len(joined[name])} of {stop - start} rows")
    return joined


class _IndexUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _INDEX:
            raise pickle.UnpicklingError(f"its index holds {module}.{name}")
        return super().find_class(module, name)


class _Reader(FileSystemReader):
    """Loads from the index what an index is made of; torch's own loads any pickle."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Any:
        metadata = _IndexUnpickler(io.BytesIO((Path(self.path) / ".metadata").read_bytes())).load()
        if getattr(metadata, "storage_meta", None) is None:
            metadata.storage_meta = StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata
