"""The rows of a face set whose row file is mapped, or of a selection of it."""

import functools
import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mfr_kit.data.face_set.codes import SLICE, count, find
from mfr_kit.data.face_set.faceset_files import RECORD_COLUMNS, SCHEMA
from mfr_kit.data.face_set.row_file import GONE, NO_TWIN, Column, RowFile

EXTENTS = ("all", "clean", "people", "clean_people")
_CLEAN = dict(zip((*EXTENTS, None), ("clean", "clean", *["clean_people"] * 2, None), strict=True))
_PEOPLE = dict(zip((*EXTENTS, None), (*["people", "clean_people"] * 2, None), strict=True))
TYPES = {field.name: field.type for field in (*SCHEMA, *RECORD_COLUMNS)}


class Place(NamedTuple):
    """Where an image lies in a set of records; `offset` and `size` (bytes to read, which may be
    more than its own) None where only an index of the `.rec` knows.
    """

    shard: int
    record: int
    offset: int | None = None
    size: int | None = None


class MappedRows:
    """Rows of a mapped file; what it does not hold is read from `faces.parquet` when asked for.

    Args:
        file: of the set.
        chosen: (N,) integer rows of the file; None for all, in order.
        extent: which fingerprint of the row file these rows have: of "all" rows, the "clean" ones;
            of "people" or "clean_people", who leave out what was skipped and is nobody's; None for
            any other selection.
    """

    def __init__(
        self, file: RowFile, chosen: np.ndarray | None = None, extent: str | None = "all"
    ) -> None:
        self.file, self._chosen, self.extent = file, chosen, extent
        self.in_records = file.places is not None
        self.names = file.names

    def __len__(self) -> int:
        return len(self.file.codes) if self._chosen is None else len(self._chosen)

    def __getstate__(self) -> dict:
        return {"file": self.file, "chosen": self._chosen, "extent": self.extent}

    def __setstate__(self, state: dict) -> None:
        self.__init__(**state)  # type: ignore[misc]  # nobody inherits from it

    @property
    def are_whole(self) -> bool:
        """Whether these are all rows of the file, so that each of `names` has one."""
        return self._chosen is None

    @property
    def codes(self) -> np.ndarray:
        """(N,) int32 rows of `names`; gathered anew for a selection."""
        if self.are_whole:
            return self.file.codes
        codes = self.file.codes[self._chosen]
        self.file.release()
        return codes

    @property
    def masked(self) -> np.ndarray:
        """(N,) bool: the face wears a mask."""
        return self._of(self.file.masked)

    @property
    def clean_rows(self) -> np.ndarray | None:
        """As of `TableRows`."""
        if self.file.clean_rows is None:
            return None
        clean = self._of(self.file.clean_rows).astype(np.int64)
        if self._chosen is not None:
            moved = np.full(len(self.file.codes) + 2, GONE, np.int64)
            moved[self._chosen] = np.arange(len(self))
            moved[NO_TWIN] = NO_TWIN  # -1 and GONE, -2, are the last two
            clean = moved[clean]
        return clean if (clean != NO_TWIN).any() else None

    def points(self, row: int) -> np.ndarray:
        """(K, 2) float32 landmarks."""
        landmarks = self.file.landmarks
        if isinstance(landmarks, Column):
            landmarks = landmarks.at(self._row(row))
        return np.array(landmarks).reshape(-1, 2)

    def place(self, row: int) -> Place:
        """Where a record lies."""
        places, row = self.file.places, self._row(row)
        assert places is not None  # asked of sets of records only
        # an adjacent record says where this one ends
        start, *after = places.offsets.at(row, 2).tolist()
        size = after[0] - start if after and after[0] > start else None
        return Place(places.shards.number(row), places.records.number(row), start, size)

    def key(self, row: int) -> str:
        """An image's key."""
        if self.in_records:  # only errors ask for it
            return self.take(np.array([row])).column("key")[0].as_py()
        return self._keys[row].as_py()

    @functools.cached_property
    def _keys(self) -> pa.ChunkedArray:
        return self.column("key")

    def column(self, name: str) -> pa.ChunkedArray:
        """A whole column of the table, of these rows."""
        chosen = self._chosen
        if chosen is None or _ascending(chosen):
            return pa.chunked_array(list(self._parts(name, chosen)), TYPES[name])
        order, place = np.unique(chosen, return_inverse=True)
        whole = pa.chunked_array(list(self._parts(name, order)), TYPES[name])
        return whole.take(pa.array(place))

    def slices(self, name: str) -> Iterator[pa.Array]:
        """Yield a column, a part at a time."""
        if self._chosen is None or _ascending(self._chosen):
            return self._parts(name, self._chosen)
        return iter(self.column(name).chunks)

    @property
    def table(self) -> pa.Table:
        """All columns, read into memory."""
        names = [*TYPES] if self.in_records else SCHEMA.names
        return pa.table({name: self.column(name) for name in names})

    def shards(self) -> list[int]:
        """The numbers of the `.rec` files, ascending."""
        assert self.file.places is not None  # asked of sets of records only
        shards = self._of(self.file.places.shards.values)
        most = int(shards.max()) if len(shards) else -1
        return np.flatnonzero(count(shards, most + 1)).tolist()

    def digest(self) -> str:
        """Name which rows of the file these are."""
        if self._chosen is None:
            return "all"
        rows = np.ascontiguousarray(self._chosen, np.int64)
        return hashlib.sha256(rows.data).hexdigest()

    def take(self, rows: np.ndarray) -> "MappedRows":
        """Keep some rows, by index."""
        kind = np.int32 if len(self.file.codes) < 1 << 31 else np.int64
        chosen = np.asarray(rows).astype(kind, copy=False)
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < len(self):
            raise IndexError(f"rows {chosen.min()} .. {chosen.max()} of a set of {len(self)}")
        self.file.release()  # whoever chose them went over all rows
        return MappedRows(self.file, self._row_numbers(chosen), None)

    def clean(self) -> "MappedRows":
        """Keep the faces without a mask."""
        masked, extent = self.masked, _CLEAN.get(self.extent)
        if not masked.any():
            return MappedRows(self.file, self._chosen, extent)
        return MappedRows(self.file, self.take(find(~masked))._chosen, extent)

    def people(self) -> "MappedRows":
        """The same rows, for a set without what was skipped and is nobody's."""
        return MappedRows(self.file, self._chosen, _PEOPLE.get(self.extent))

    def _row(self, row: int) -> int:
        return row if self._chosen is None else int(self._chosen[row])

    def _row_numbers(self, rows: np.ndarray) -> np.ndarray:
        return rows if self._chosen is None else self._chosen[rows]

    def _of(self, values: np.ndarray) -> np.ndarray:
        return values if self._chosen is None else values[self._chosen]

    def _parts(self, name: str, chosen: np.ndarray | None) -> Iterator[pa.Array]:
        """Yield a column of ascending rows.

        Raises:
            KitError: `faces.parquet` was changed since the set was opened.
        """
        with pq.ParquetFile(self.file.table_path()) as file:
            for groups, start, stop in _runs(file.metadata):
                own = None
                if chosen is not None:
                    # bounds of another type would have all of `chosen` cast
                    first, last = np.searchsorted(chosen, np.array((start, stop), chosen.dtype))
                    if first == last:
                        continue
                    own = pa.array(chosen[first:last] - start)
                # a reader that goes over all groups keeps what it has read of them
                part = file.read_row_groups(groups, [name], use_threads=False)[name]
                part = part.cast(TYPES[name]).combine_chunks()
                yield part if own is None else part.take(own)


def _runs(metadata: pq.FileMetaData) -> Iterator[tuple[list[int], int, int]]:
    """Yield row groups that follow each other, of some `SLICE` rows, with their first row and one
    past the last.
    """
    groups: list[int] = []
    start = stop = 0
    for number in range(metadata.num_row_groups):
        groups.append(number)
        stop += metadata.row_group(number).num_rows
        if stop - start >= SLICE or number == metadata.num_row_groups - 1:
            if stop > start:
                yield groups, start, stop
            groups, start = [], stop


def _ascending(rows: np.ndarray) -> bool:
    return bool((rows[1:] > rows[:-1]).all())
