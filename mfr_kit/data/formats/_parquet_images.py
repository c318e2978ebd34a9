"""Encoded images out of a column of parquet files, in any order and without holding them all.

A row group is the least that parquet gives. In the order of the files the last few are kept in
memory. Where photographs are asked for in another order, or a row group is large, each is unpacked
once into a temporary file that is gone with the process.
"""

import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from mfr_kit import files
from mfr_kit.errors import KitError, SetError

if TYPE_CHECKING:
    import pyarrow as pa

GROUPS = 4  # row groups in memory
LARGE_BYTES = 64 << 20  # a row group beyond is unpacked to disk
BATCH_ROWS = 64


class ParquetImages:
    """The `encoded` of a set: `images(row)`. Safe with threads; pickled, it reads anew.

    Args:
        shards: the files, in order.
        column: of the bytes, as parquet spells it: `image.bytes`.
        on_disk: unpack every row group to disk.
    """

    _spool: IO[bytes] | None

    def __init__(self, shards: list[Path], column: str, on_disk: bool = False) -> None:
        import pyarrow.parquet as pq

        self._shards, self._column, self._on_disk = shards, column, on_disk
        counts, places = [], []
        for number, shard in enumerate(shards):
            with pq.ParquetFile(shard) as file:
                for group in range(file.metadata.num_row_groups):
                    found = file.metadata.row_group(group)
                    counts.append(found.num_rows)
                    places.append((number, group, found.total_byte_size > LARGE_BYTES))
        self._ends, self._places = np.cumsum(counts, dtype=np.int64), places
        self._prepare()

    def keep_on_disk(self) -> None:
        """Expect photographs in another order than that of the files."""
        self._on_disk = True

    def __call__(self, row: int) -> bytes:
        """Return an encoded image.

        Raises:
            KitError: the row holds no bytes.
            SetError: its file cannot be read any more.
        """
        group = int(np.searchsorted(self._ends, row, side="right"))
        at = row - (int(self._ends[group - 1]) if group else 0)
        shard, _, large = self._places[group]
        with self._lock:
            data = self._unpacked(group, at) if self._on_disk or large else self._kept(group, at)
        if data is None:
            raise KitError(f"{self._shards[shard]}: the image's bytes are not in the file")
        return data

    def _kept(self, group: int, at: int) -> bytes | None:
        if group not in self._groups:
            self._groups[group] = list(self._batches(group))
            if len(self._groups) > GROUPS:
                self._groups.popitem(last=False)
        for batch in self._groups[group]:
            if at < len(batch):
                return batch[at].as_py()
            at -= len(batch)
        raise self._shorter(group)

    def _shorter(self, group: int) -> SetError:
        shard, inner, _ = self._places[group]
        return SetError(f"{self._shards[shard]}: row group {inner} has fewer rows than it says")

    def _unpacked(self, group: int, at: int) -> bytes | None:
        if group not in self._spans:
            self._unpack(group)
        if at >= len(self._spans[group]):
            raise self._shorter(group)
        start, end = self._spans[group][at].tolist()
        if start < 0:
            return None
        assert self._spool is not None
        return os.pread(self._spool.fileno(), end - start, start)

    def _unpack(self, group: int) -> None:
        spool = self._spool or tempfile.TemporaryFile(prefix="mfr-kit-")  # noqa: SIM115  kept open
        self._spool = spool
        offset, spans = spool.seek(0, os.SEEK_END), []
        with files.attributed_to(Path(tempfile.gettempdir())):
            for value in (value for batch in self._batches(group) for value in batch):
                data = value.as_py()
                if data is None:
                    spans.append((-1, -1))
                    continue
                spool.write(data)
                spans.append((offset, offset + len(data)))
                offset += len(data)
            spool.flush()
        self._spans[group] = np.array(spans, np.int64).reshape(-1, 2)

    def _batches(self, group: int) -> "Iterator[pa.Array]":
        import pyarrow as pa
        import pyarrow.parquet as pq

        shard, inner, _ = self._places[group]
        try:
            with pq.ParquetFile(self._shards[shard]) as file:
                for batch in file.iter_batches(
                    BATCH_ROWS, row_groups=[inner], columns=[self._column], use_threads=False
                ):
                    column = batch.column(0)
                    yield column.field(0) if pa.types.is_struct(column.type) else column
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise SetError(f"{self._shards[shard]}: row group {inner}: {reason}") from None

    def _prepare(self) -> None:
        self._lock = threading.Lock()
        self._groups: OrderedDict[int, list[pa.Array]] = OrderedDict()
        self._spans: dict[int, np.ndarray] = {}
        self._spool = None

    def __getstate__(self) -> dict:
        kept = ("_shards", "_column", "_on_disk", "_ends", "_places")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._prepare()
