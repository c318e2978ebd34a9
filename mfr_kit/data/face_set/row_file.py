"""`faces.arrow`: what training asks of every row of `faces.parquet`, in columns of one width that
are mapped into memory, so that opening millions of rows reads none of them.

It follows from the other files of a set and is never believed on its own: `faceset.json` has the
digests of `faces.parquet`, `skipped.csv` and of this file, which are compared before it is mapped.
A set without it, or one whose files were changed since, is read from `faces.parquet`.
"""

import json
import mmap
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from mfr_kit.data.face_set import content
from mfr_kit.data.face_set.faceset_files import MASK, NONMASK, ROWS, SKIPPED
from mfr_kit.errors import KitError, SetError

ROW_FILE = "faces.arrow"
NO_TWIN, GONE = -1, -2  # in `clean_row`: not a twin; a twin whose clean face is not there
POINTS = b"landmarks"  # in the schema's metadata: those of every row, where all are alike


_pread = getattr(os, "pread", None)  # Windows has none


@dataclass(frozen=True)
class Column:
    """A column of (N, ...) numbers: mapped whole, or read at a row.

    A page fault maps up to megabytes for the few bytes of a row, so that rows which are read at
    random through the map would make all of it resident.
    """

    values: np.ndarray
    file: BinaryIO
    position: int  # of the first row in the file

    def at(self, row: int, count: int = 1) -> np.ndarray:
        """Read `count` rows from `row` on, flat; fewer at the end."""
        if _pread is None:
            return self.values[row : row + count].ravel()
        values, count = self.values, min(count, len(self.values) - row)
        width = values.strides[0]
        block = _pread(self.file.fileno(), count * width, self.position + row * width)
        return np.frombuffer(block, values.dtype)

    def number(self, row: int) -> int:
        """Read the whole number of a row."""
        if _pread is None:
            return int(self.values[row])
        width = self.values.itemsize
        block = _pread(self.file.fileno(), width, self.position + row * width)
        return int.from_bytes(block, "little", signed=True)


@dataclass(frozen=True)
class Places:
    """Where the images of N rows lie, of a set of records."""

    shards: Column  # (N,) int32
    records: Column  # (N,) int64, keys in the .rec
    offsets: Column  # (N,) int64, bytes in the .rec


@dataclass(frozen=True)
class RowFile:
    """The mapped columns of a set of N rows and C people."""

    path: Path
    mapped: mmap.mmap
    stamps: list[tuple[int, int]]  # of it and of `faces.parquet`, when it was opened
    record: dict[str, str]  # what `faceset.json` says of it
    names: pa.StringArray  # (C,) in alphabetical order, each with at least one row
    codes: np.ndarray  # (N,) int32 rows of `names`
    masked: np.ndarray  # (N,) bool
    landmarks: Column | np.ndarray  # (N, 2 K) float32, or (2 K,) where all are alike
    clean_rows: np.ndarray | None  # (N,) int32, `NO_TWIN` or `GONE`; None: no row is a twin
    places: Places | None  # None: a file for each image

    def release(self) -> None:
        """Take the mapped pages out of this process's memory; the system's cache keeps them."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self.mapped.madvise(mmap.MADV_DONTNEED)

    def __getstate__(self) -> dict:
        return {"path": self.path, "stamps": self.stamps, "record": self.record}

    def __setstate__(self, state: dict) -> None:
        again = map_file(state["path"], state["record"])
        if again.stamps != state["stamps"]:
            raise _changed(state["path"])
        self.__dict__.update(again.__dict__)

    def table_path(self) -> Path:
        """Say where `faces.parquet` is.

        Raises:
            KitError: it was changed since this file was opened.
        """
        if _stamps(self.path) != self.stamps:
            raise _changed(self.path)
        return self.path.with_name(ROWS)


def open_row_file(folder: Path, about: dict[str, Any]) -> RowFile | None:
    """Map the row file of a set.

    The digests are taken of whole files once a machine and remembered under their stamps
    (content.py).

    Args:
        folder: of the set.
        about: what `faceset.json` says.
    Returns:
        None where the set has none, or, with a line on stderr, where it is of other files than
        those that lie there.
    """
    record, path = about.get("rows"), folder / ROW_FILE
    if record is None or not path.is_file():
        return None
    try:
        wanted = ((SKIPPED, "skipped"), (ROWS, "table"), (ROW_FILE, "file"))
        changed = [name for name, key in wanted if digest_of(folder / name) != record[key]]
        if not changed:
            return map_file(path, record)
    except (OSError, KitError, pa.ArrowException, ValueError) as error:
        changed = [str(error).partition("\n")[0]]
    print(
        f"note: {path} is not used, since it does not belong to what lies there "
        f"({', '.join(changed)}): {ROWS} is read instead, which takes time and memory; `kit.py "
        "convert` writes a set that has one",
        file=sys.stderr,
    )
    return None


def digest_of(path: Path) -> str:
    """The digest of a file, or of no file."""
    return content.digest_of_file(path) if path.is_file() else ""


def write_row_file(path: Path, columns: dict[str, pa.Array], points: np.ndarray | None) -> None:
    """Write the columns of `RowFile` in one piece.

    Args:
        path: of the file.
        columns: by name, of equal lengths; those with another name than `RowFile` reads are kept.
        points: (2 K,) landmarks of every row, where `columns` has none.
    """
    batch = pa.record_batch(columns)
    metadata = {} if points is None else {POINTS: json.dumps(points.tolist())}
    batch = batch.replace_schema_metadata(metadata)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def conditions_of(masked: np.ndarray) -> pa.DictionaryArray:
    """Encode (N,) uint8 flags as conditions."""
    return pa.DictionaryArray.from_arrays(
        pa.array(masked.view(np.int8)), pa.array([NONMASK, MASK]), safe=False
    )


def map_file(path: Path, record: dict[str, str]) -> RowFile:
    """Map a row file whose digest was compared.

    Args:
        path: of the file.
        record: what `faceset.json` says of it.
    """
    file = path.open("rb", buffering=0)  # closed with the columns
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    whole = pa.py_buffer(mapped)
    with pa.ipc.open_file(whole) as batches:
        batch = batches.get_batch(0)
    batch.validate()
    known = set(batch.schema.names)
    names = batch["identity"].dictionary
    names.validate(full=True)

    def take(name: str) -> Column:
        values = batch[name]
        if pa.types.is_fixed_size_list(values.type):
            numbers = values.flatten().to_numpy().reshape(len(batch), -1)
        else:
            numbers = values.to_numpy()
        return Column(numbers, file, numbers.ctypes.data - whole.address)

    alike = np.empty(0)
    if "landmarks" not in known:
        alike = np.array(json.loads(batch.schema.metadata[POINTS]), np.float32)
    return RowFile(
        path,
        mapped,
        _stamps(path),
        record,
        names,
        batch["identity"].indices.to_numpy(),
        batch["condition"].indices.to_numpy().view(bool),
        take("landmarks") if "landmarks" in known else alike,
        take("clean_row").values if "clean_row" in known else None,
        Places(take("shard"), take("record"), take("offset")) if "offset" in known else None,
    )


def _stamps(path: Path) -> list[tuple[int, int]]:
    """Sizes and times of the last change."""
    found = [file.stat() for file in (path, path.with_name(ROWS)) if file.is_file()]
    return [(state.st_size, state.st_mtime_ns) for state in found]


def _changed(path: Path) -> SetError:
    return SetError(
        f"{path.parent}: its rows were changed while in use: do not change a set in use"
    )
