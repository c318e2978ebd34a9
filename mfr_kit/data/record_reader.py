"""Read RecordIO `.rec` files, at random by their `.idx` or in order, with the standard library and
numpy alone.
"""

import mmap
import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mfr_kit.data.record_index import KeyTable, read_index
from mfr_kit.data.recordio import LENGTH_MASK, MAGIC, MAGIC_BYTES, PART
from mfr_kit.data.text_lines import beside
from mfr_kit.errors import KitError, SetError

RESIDENT_BYTES = 32 << 20  # in order: mapped pages go back to the system after so many bytes
BLOCK_BYTES = 1 << 20  # at random: longer records than this are taken from the map
_unpack_part = PART.unpack_from
_pread = getattr(os, "pread", None)  # Windows has none


class RecordReader:
    """Random access to the payloads of a `.rec` by key.

    `read` for any order, iteration for the file's own. No file position is shared: safe with forked
    workers and threads; pickled, it carries its offsets and opens the file again. The index holds 8
    bytes a record.

    Args:
        path: the `.rec` file.
        index: its `.idx`; by default the file of the same name. Where that is missing the records
            are counted by scanning, keys are then 0, 1, 2 ... in the order of the file, and
            `rebuilt` is True.
    Raises:
        KitError: unreadable or damaged file; the message names file, key and offset.
    """

    def __init__(self, path: Path, index: Path | None = None):
        self.path = Path(path)
        self._map()
        index_path = Path(index) if index else beside(self.path, f"{self.path.stem}.idx")
        self.rebuilt = index_path is None
        self._table = (
            KeyTable(np.frombuffer(self._scan(), np.int64), self._size)
            if index_path is None
            else read_index(index_path, self._size)
        )
        self._find = self._table.find

    def __len__(self) -> int:
        return len(self._table)

    @property
    def keys(self) -> Sequence[int]:
        """All keys, ascending: a `range` where they are consecutive, else an int64 array."""
        return self._table.keys

    def read(self, key: int) -> memoryview:
        """Return a record's payload, read-only.

        One `os.pread` rather than the map: a page fault maps 64 KB for a record of 5 KB, so that
        reading a large set at random through the map either takes as much memory as the set or,
        with the pages handed back, twice the time; and a file cut short under an open reader is an
        error here, not a SIGBUS.

        Raises:
            KitError: no such key, offset past the end, wrong magic number, truncated record.
        """
        offset, size = self._find(key)
        if size > BLOCK_BYTES or _pread is None:
            return self._read_mapped(key, offset)
        block = _pread(self._descriptor, size, offset)
        if len(block) < 8:
            return self._read_mapped(key, offset)
        magic, word = _unpack_part(block)
        end = 8 + (word & LENGTH_MASK)
        if magic != MAGIC or word > LENGTH_MASK or end > len(block):
            return self._read_mapped(key, offset)
        return memoryview(block)[8:end]

    def offset(self, key: int) -> int:
        """Where in the file a record begins, for messages."""
        return self._find(key)[0]

    def __iter__(self) -> Iterator[tuple[int, memoryview]]:
        """Yield `(key, payload)` of every record in the order of the file; the payloads are
        views of the memory map, nothing is copied.
        """
        view, touched = self._view, 0
        for key, offset in self._table.in_file_order():
            if not 0 <= offset <= self._size - 8:
                raise self._damaged(key, offset)
            magic, word = _unpack_part(view, offset)
            end = offset + 8 + (word & LENGTH_MASK)
            if magic != MAGIC or word > LENGTH_MASK or end > self._size:
                yield key, self._read_mapped(key, offset)
                continue
            yield key, view[offset + 8 : end]
            touched += end - offset
            if touched > RESIDENT_BYTES:
                self._release()
                touched = 0

    def _read_mapped(self, key: int, offset: int) -> memoryview:
        """Read a record of any length and any number of parts; whatever is wrong with it is
        found here, off the fast path.
        """
        now = os.fstat(self._descriptor).st_size
        if now < self._size:
            raise SetError(
                f"{self.path}: key {key}, offset {offset}: the file was cut from {self._size} to "
                f"{now} bytes while in use"
            )
        parts, start = [], offset
        while True:
            if not 0 <= offset <= self._size - 8:
                raise self._damaged(key, offset)
            magic, word = _unpack_part(self._view, offset)
            flag, end = word >> 29, offset + 8 + (word & LENGTH_MASK)
            if (
                magic != MAGIC
                or end > self._size
                or flag > 3
                or (flag in (0, 1)) != (offset == start)
            ):
                raise self._damaged(key, offset)
            parts.append(self._view[offset + 8 : end])
            offset = end + (-(end - offset) & 3)
            if flag in (0, 3):
                return parts[0] if flag == 0 else memoryview(MAGIC_BYTES.join(parts))

    def _damaged(self, key: int, offset: int) -> KitError:
        if not 0 <= offset <= self._size - 8:
            problem = (
                f"the file has only {self._size} bytes; it was cut short, or the .idx belongs to "
                "another .rec"
            )
        else:
            magic, word = _unpack_part(self._view, offset)
            flag, length = word >> 29, word & LENGTH_MASK
            if magic != MAGIC:
                problem = (
                    f"wrong magic number 0x{magic:08x}, expected 0x{MAGIC:08x}; the .rec is "
                    "damaged, or the .idx is of another"
                )
            elif offset + 8 + length > self._size:
                problem = (
                    f"the record has {length} bytes, but the file ends after "
                    f"{self._size - offset - 8}; copy it again"
                )
            else:
                problem = (
                    f"continuation flag {flag} is out of place; the file is damaged, or the .idx "
                    "belongs to another .rec"
                )
        return KitError(f"{self.path}: key {key}, offset {offset}: {problem}")

    def _scan(self) -> array:
        """Walk the file from its first record to its last and return the offsets."""
        offsets, offset, inside, released = array("q"), 0, False, 0
        while offset < self._size:
            key = len(offsets) - inside
            if offset + 8 > self._size:
                raise self._damaged(key, offset)
            magic, word = _unpack_part(self._view, offset)
            flag, end = word >> 29, offset + 8 + (word & LENGTH_MASK)
            if magic != MAGIC or end > self._size or flag > 3 or (flag in (2, 3)) != inside:
                raise self._damaged(key, offset)
            if not inside:
                offsets.append(offset)
            inside = flag in (1, 2)
            offset = end + (-(end - offset) & 3)
            if offset - released > RESIDENT_BYTES:
                self._release()
                released = offset
        if inside:
            raise self._damaged(len(offsets) - 1, offset)
        return offsets

    def _map(self) -> None:
        try:
            self._file = self.path.open("rb", buffering=0)  # closed with the reader
            self._descriptor = self._file.fileno()
            self._size = os.fstat(self._descriptor).st_size
            self._mmap = (
                mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ) if self._size else None
            )
        except OSError as error:
            raise KitError(f"{self.path}: cannot be read ({error.strerror})") from None
        self._view = memoryview(self._mmap) if self._mmap else memoryview(b"")

    def _release(self) -> None:
        """Take the mapped pages out of this process's memory (the system's cache keeps them);
        views stay valid.
        """
        if self._mmap is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._mmap.madvise(mmap.MADV_DONTNEED)

    def __getstate__(self) -> dict:
        return {
            "path": self.path,
            "rebuilt": self.rebuilt,
            "size": self._size,
            "table": self._table,
        }

    def __setstate__(self, state: dict) -> None:
        self.path, self.rebuilt, self._table = state["path"], state["rebuilt"], state["table"]
        self._find = self._table.find
        self._map()
        if self._size != state["size"]:
            raise KitError(
                f"{self.path}: {self._size} bytes now, {state['size']} when it was opened first; "
                "do not change a set in use"
            )
