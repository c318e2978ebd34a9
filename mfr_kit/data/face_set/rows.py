"""The rows of a face set, or of a selection of it: in memory as they were read, or mapped."""

import functools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfr_kit.data.face_set.codes import SLICE, count, find
from mfr_kit.data.face_set.faceset_files import MASK, RECORD_COLUMNS
from mfr_kit.data.face_set.mapped_rows import MappedRows, Place
from mfr_kit.data.face_set.row_file import GONE, NO_TWIN


class TableRows:
    """Rows in memory.

    Args:
        table: in `SCHEMA`, with `RECORD_COLUMNS` in a set of records.
    """

    extent: str | None = None  # see MappedRows

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.in_records = RECORD_COLUMNS[0].name in table.column_names

    def __len__(self) -> int:
        return self.table.num_rows

    @functools.cached_property
    def _people(self) -> tuple[pa.Array, np.ndarray]:
        column = self.table["identity"].combine_chunks()
        if not len(column):
            return pa.array([], pa.string()), np.empty(0, np.int32)
        encoded = column.dictionary_encode()
        order = np.argsort(np.array(encoded.dictionary.to_pylist(), object), kind="stable")
        places = np.empty(len(order), np.int32)
        places[order] = np.arange(len(order))
        return encoded.dictionary.take(pa.array(order)), places[encoded.indices.to_numpy()]

    @property
    def names(self) -> pa.Array:
        """(C,) names in alphabetical order, among them all that rows have."""
        return self._people[0]

    @property
    def codes(self) -> np.ndarray:
        """(N,) int32 rows of `names`."""
        return self._people[1]

    @functools.cached_property
    def masked(self) -> np.ndarray:
        """(N,) bool: the face wears a mask."""
        return pc.equal(self.table["condition"], MASK).to_numpy()

    @functools.cached_property
    def clean_rows(self) -> np.ndarray | None:
        """(N,) int64: the row here of a twin's clean face, `GONE` where it is not here, `NO_TWIN`;
        None where no row is a twin.
        """
        clean = self.table["clean_key"].combine_chunks()
        is_twin = pc.not_equal(clean, "").to_numpy(zero_copy_only=False)
        if not is_twin.any():
            return None
        found = pc.index_in(clean, value_set=self.table["key"].combine_chunks())
        rows = pc.fill_null(found, GONE).to_numpy().astype(np.int64)
        return np.where(is_twin, rows, NO_TWIN)

    def points(self, row: int) -> np.ndarray:
        """(K, 2) float32 landmarks."""
        return self.table["landmarks"][row].values.to_numpy().reshape(-1, 2)

    def place(self, row: int) -> Place:
        """Where a record lies."""
        return Place(self.table["shard"][row].as_py(), self.table["record"][row].as_py())

    def key(self, row: int) -> str:
        """An image's key."""
        return self.table["key"][row].as_py()

    def column(self, name: str) -> pa.ChunkedArray:
        """A whole column of the table."""
        return self.table[name]

    def slices(self, name: str) -> Iterator[pa.Array]:
        """Yield a column, a part at a time."""
        for chunk in self.table[name].chunks:
            for start in range(0, len(chunk), SLICE):
                yield chunk.slice(start, SLICE)

    def shards(self) -> list[int]:
        """The numbers of the `.rec` files, ascending."""
        return sorted(self.table["shard"].unique().to_pylist())

    def take(self, rows: np.ndarray) -> "TableRows":
        """Keep some rows, by index."""
        return TableRows(self.table.take(pa.array(rows, pa.int64())))

    def people(self) -> "TableRows":
        """The same rows."""
        return self

    def clean(self) -> "TableRows":
        """Keep the faces without a mask."""
        return self.take(np.flatnonzero(~self.masked))


Rows = TableRows | MappedRows


def have_rows(rows: Rows) -> np.ndarray:
    """(C,) bool: which of the rows' `names` any row has."""
    if isinstance(rows, MappedRows) and rows.are_whole:
        return np.ones(len(rows.names), bool)
    return count(rows.codes, len(rows.names)) > 0


def among(rows: Rows, people: set[str]) -> set[str]:
    """Say which of some people have rows."""
    if not people:
        return set()
    texts = pa.array(sorted(people), pa.string())
    places = pc.drop_null(pc.index_in(texts, value_set=rows.names)).to_numpy()
    present = have_rows(rows) if len(places) else np.empty(0, bool)
    return {rows.names[int(place)].as_py() for place in places if present[place]}


def rows_of(rows: Rows, people: set[str], others: bool = False) -> np.ndarray:
    """Find the rows of some people, or of all others, ascending."""
    texts = pa.array(sorted(people), pa.string())
    chosen = pc.is_in(rows.names, value_set=texts).to_numpy(zero_copy_only=False)
    return find((chosen != others)[rows.codes])


def as_matrix(column: pa.ChunkedArray, width: int) -> np.ndarray:
    """Turn N lists of numbers into (N, width) float64."""
    values = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return values.reshape(-1, width).astype(np.float64)


def as_objects(column: pa.ChunkedArray, distinct: bool) -> np.ndarray:
    """Turn texts into (N,) objects; unless they are `distinct`, equal ones share one: eight bytes a
    row however long they are.
    """
    texts = column.combine_chunks()
    if distinct or not len(texts):
        return texts.to_numpy(zero_copy_only=False) if len(texts) else np.empty(0, object)
    encoded = texts.dictionary_encode()
    return encoded.dictionary.to_numpy(zero_copy_only=False)[encoded.indices.to_numpy()]
