"""Read the records of a `.rec` that lies in object storage, by ranges of bytes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mfr_kit import remote
from mfr_kit.data.record_index import read_index
from mfr_kit.data.record_reader import RecordReader
from mfr_kit.data.recordio import LENGTH_MASK, MAGIC, MAGIC_BYTES, PART
from mfr_kit.errors import KitError


class RemoteRecords:
    """What `RecordReader` is for a file: random access to payloads by key; downloads its `.idx`.

    Args:
        path: of the `.rec`, below the kit's `remote/`.
        url: of the `.rec`.
    Raises:
        KitError: no `.idx` beside it, unreadable, or damaged; names URL, key and offset.
    """

    rebuilt = False

    def __init__(self, path: Path, url: str) -> None:
        self.path, self._url = path, url
        self._ranges = remote.Ranges(url)
        index = path.with_suffix(".idx")
        if not remote.fetch(index):
            raise KitError(
                f"{url}: no {index.name} lies beside it, and without it no record can be found: "
                "copy it there too"
            )
        self._table = read_index(index, self._ranges.size)

    def __len__(self) -> int:
        return len(self._table)

    @property
    def keys(self) -> Sequence[int]:
        """All keys, ascending."""
        return self._table.keys

    def offset(self, key: int) -> int:
        """Where in the file a record begins, for messages."""
        return self._table.find(key)[0]

    def read(self, key: int) -> memoryview:
        """Return a record's payload, read-only.

        Raises:
            KitError: no such key, wrong magic number, truncated record, or the network says no.
        """
        return self._read_at(key, *self._table.find(key))

    def __iter__(self) -> Iterator[tuple[int, memoryview]]:
        """Yield `(key, payload)` of every record in the order of the file."""
        for key, offset in self._table.in_file_order():
            yield key, self._read_at(key, offset, PART.size)

    def _read_at(self, key: int, offset: int, size: int) -> memoryview:
        """Read `size` bytes at once, and what they do not hold of the record after them."""
        block, base, parts, start = self._ranges.read(max(offset, 0), size), offset, [], offset

        def take(at: int, count: int) -> bytes:
            held = block[at - base : at - base + count]
            return held + self._ranges.read(at + len(held), count - len(held))

        while True:
            head = take(offset, PART.size) if offset >= 0 else b""
            magic, word = PART.unpack(head) if len(head) == PART.size else (0, 0)
            flag, length = word >> 29, word & LENGTH_MASK
            whole = offset + PART.size + length <= self._ranges.size
            if magic != MAGIC or flag > 3 or (flag in (0, 1)) != (offset == start) or not whole:
                raise KitError(
                    f"{self._url}: key {key}, offset {start}: no whole record lies there; the "
                    ".rec is damaged, or the .idx is of another"
                )
            parts.append(take(offset + PART.size, length))
            offset += PART.size + length + (-length & 3)
            if flag in (0, 3):
                return memoryview(parts[0] if flag == 0 else MAGIC_BYTES.join(parts))


AnyRecords = RecordReader | RemoteRecords


def open_records(path: Path) -> AnyRecords:
    """Open a `.rec`, wherever it lies."""
    url = remote.origin(path)
    return RecordReader(path) if url is None else RemoteRecords(path, url)
