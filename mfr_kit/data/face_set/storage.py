"""Where a face set's images lie: a file each, or as records of `faces-00000.rec`, `faces-00001.rec`
... in InsightFace's layout.

A row's `key` is the image's name in both; the columns `shard` and `record`, which only a set of
records has, say where it lies.
"""

import os
import re
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from mfr_kit.data.record_index import USUAL_BYTES
from mfr_kit.data.record_ranges import AnyRecords, open_records
from mfr_kit.data.recordio import MAGIC, frame, pack, unpack
from mfr_kit.errors import KitError

MOST_RECORDS = 1 << 24  # the header's numbers are float32, which is exact up to here
_HEADER_BYTES = len(frame(pack((0, 0), b"")))
_HEAD = struct.Struct("<IIIfQQ")  # of a record: magic number, length; flag, label, id, id2
_IMAGE_AT = _HEAD.size
_pread = getattr(os, "pread", None)  # Windows has none


def rec_path(folder: Path, shard: int) -> Path:
    """Name a shard's `.rec`."""
    return folder / f"faces-{shard:05d}.rec"


class Records:
    """Read images of a set of records. Shards are opened when first asked for; pickled, it opens
    them anew.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._readers: dict[int, AnyRecords] = {}
        self._files: dict[int, BinaryIO] = {}

    def read(
        self, shard: int, record: int, offset: int | None = None, size: int | None = None
    ) -> bytes:
        """Return an encoded image.

        Args:
            shard: number of the `.rec`.
            record: key in it.
            offset: where the record begins, if known: then no index is read, unless another record
                lies there.
            size: bytes to read there.
        Raises:
            KitError: missing or damaged file, or no such record; names file and key.
        """
        if offset is not None and _pread is not None:
            image = self._read_at(shard, record, offset, min(size or USUAL_BYTES, USUAL_BYTES))
            if image is not None:
                return image
        reader = self._readers.get(shard)
        if reader is None:
            reader = self._readers[shard] = open_records(rec_path(self.folder, shard))
        return bytes(unpack(reader.read(record), f"{reader.path}: key {record}").data)

    def _read_at(self, shard: int, record: int, offset: int, size: int) -> bytes | None:
        """Return the image of the record at an offset; None where that is another one, or one that
        does not lie there whole.
        """
        file = self._files.get(shard)
        if file is None:
            path = rec_path(self.folder, shard)
            if not path.is_file():
                return None
            file = self._files[shard] = path.open("rb", buffering=0)
        assert _pread is not None  # asked for before
        block = _pread(file.fileno(), size, offset)
        if len(block) < _IMAGE_AT:
            return None
        magic, word, flag, _, number, _ = _HEAD.unpack_from(block)
        end = 8 + word  # a record in several parts says so in the word, which is then too large
        if magic != MAGIC or flag or number != record or not _IMAGE_AT <= end <= len(block):
            return None
        return block[_IMAGE_AT:end]

    def __getstate__(self) -> dict:
        return {"folder": self.folder}

    def __setstate__(self, state: dict) -> None:
        self.__init__(state["folder"])  # type: ignore[misc]  # nobody inherits from it


def masked_records(path: Path) -> dict[int, int | None] | None:
    """Say which records of a face set's shard show masked faces: key -> key of the clean face, or
    None.

    Returns:
        None where `path` is no shard of a face set.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    shard = re.fullmatch(r"faces-(\d{5,})\.rec", path.name)
    rows = path.with_name("faces.parquet")
    if not shard or not rows.is_file():
        return None
    wanted = ["key", "condition", "clean_key", "shard", "record"]
    try:
        table = pq.read_table(rows, columns=wanted, filters=[("shard", "=", int(shard[1]))])
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise KitError(
            f"{rows}: cannot be read, and only it says which faces of {path.name} are masked "
            f"({reason})"
        ) from None
    columns = [table[name].to_pylist() for name in ("key", "condition", "clean_key", "record")]
    records: dict[Any, int] = dict(zip(columns[0], columns[3], strict=True))
    return {
        record: records.get(clean)
        for _, condition, clean, record in zip(*columns, strict=True)
        if condition == "mask"
    }


class Position(NamedTuple):
    """How far a shard is written: everything behind it may be cut off and written again."""

    rec_bytes: int
    idx_bytes: int
    next_key: int


class ShardWriter:
    """Append images to a shard, from its beginning or from an earlier `Position`.

    The two files are what an InsightFace reader expects once `finish` has run: record 0 says where
    the images end, and after them one record a person names the first and last key of that person's
    images.

    Args:
        path: the `.rec`; its `.idx` lies beside it.
        start: where an earlier writer stopped; what was written after it is cut off. None begins a
            new shard.
    Raises:
        KitError: the files are shorter than `start` says.
    """

    def __init__(self, path: Path, start: Position | None = None) -> None:
        self.path = path
        files = (path, path.with_suffix(".idx"))
        sizes = start[:2] if start else (0, 0)
        for file, size in zip(files, sizes, strict=True):
            found = file.stat().st_size if file.exists() else 0
            if found < size:
                raise KitError(
                    f"{file}: {found} bytes, but {size} were written before the run was stopped; "
                    f"remove {path.parent}"
                )
        self._files = [file.open("r+b" if file.exists() else "w+b") for file in files]
        for opened, size in zip(self._files, sizes, strict=True):
            opened.truncate(size)
            opened.seek(size)
        self._key, self._bytes = (start.next_key, start.rec_bytes) if start else (0, 0)
        if start is None:
            self._write(pack((0, 0), b""))  # its numbers are known at the end

    def append(self, label: int, data: bytes) -> int:
        """Write an image and return its key.

        Raises:
            KitError: more images than a header record can count.
        """
        if self._key >= MOST_RECORDS - 1:
            raise KitError(
                f"{self.path}: more than {MOST_RECORDS} images do not fit one .rec file: use "
                "more --shards"
            )
        return self._write(pack(float(label), data, self._key))

    def position(self) -> Position:
        """Bring everything to the disk and say how far it reaches."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        rec_bytes, idx_bytes = (file.tell() for file in self._files)
        return Position(rec_bytes, idx_bytes, self._key)

    def finish(self, people: Iterable[tuple[int, int]]) -> None:
        """Write the record of each person, given as (first key, one past the last), and the
        header record; close the files.
        """
        images_end = self._key
        for span in people:
            self._write(pack(span, b"", self._key))
        self._files[0].seek(0)
        header = frame(pack((images_end, self._key), b""))
        assert len(header) == _HEADER_BYTES
        self._files[0].write(header)
        self.close()

    def close(self) -> None:
        """Close the files; what was appended after the last `position` may be lost."""
        for file in self._files:
            file.close()

    def _write(self, payload: bytes) -> int:
        block, key = frame(payload), self._key
        self._files[0].write(block)
        self._files[1].write(f"{key}\t{self._bytes}\n".encode("ascii"))
        self._bytes += len(block)
        self._key += 1
        return key
