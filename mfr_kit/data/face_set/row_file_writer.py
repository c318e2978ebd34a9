"""Write `faces.arrow` from rows as they come, holding a few megabytes of them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfr_kit.data.face_set.faceset_files import MASK, NO_FACE, ROWS, SKIPPED, check_rows
from mfr_kit.data.face_set.faceset_files import read_skipped as read_skipped_rows
from mfr_kit.data.face_set.fingerprint import hash_rows
from mfr_kit.data.face_set.mapped_rows import EXTENTS, MappedRows
from mfr_kit.data.face_set.row_file import (
    GONE,
    NO_TWIN,
    ROW_FILE,
    RowFile,
    conditions_of,
    digest_of,
    map_file,
    write_row_file,
)
from mfr_kit.data.face_set.storage import rec_path
from mfr_kit.data.record_index import read_index
from mfr_kit.errors import KitError

BLOCK = 1 << 20  # rows worked at together


class RowFileWriter:
    """Collect what `RowFile` holds from the rows of a set, in their order.

    Rows that a row file cannot hold (landmarks of different numbers) or that no reader would accept
    leave the set without one.

    Args:
        folder: of the set, where columns wait in files without a name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._usable, self._count = folder, True, 0
        self._columns: dict[str, _Column] = {}
        self._codes: dict[str, int] = {}  # names by first appearance
        self._points: np.ndarray | None = None
        self._alike = True
        self._has_twins = False
        (folder / ROW_FILE).unlink(missing_ok=True)  # of rows that were here before

    def close(self) -> None:
        """Let the waiting columns go."""
        for column in self._columns.values():
            column.close()

    def add(self, table: pa.Table) -> None:
        """Take rows in `SCHEMA`."""
        if not self._usable or not table.num_rows:
            return
        try:
            table = check_rows(table, str(self._folder / ROWS))
        except KitError:  # whoever opens the set is told
            self._usable = False
            return
        points = (
            pc.list_flatten(table["landmarks"]).to_numpy().reshape(table.num_rows, -1)
            if (pc.count_distinct(pc.list_value_length(table["landmarks"])).as_py() == 1)
            else None
        )
        if points is None or (self._points is not None and points.shape[1] != len(self._points)):
            self._usable = False
            return
        if self._points is None:
            self._points = points[0].copy()
        self._alike &= bool((points == self._points).all())
        self._count += table.num_rows
        self._append("landmarks", points)
        self._append("identity", self._codes_of(table["identity"]))
        self._append("masked", pc.equal(table["condition"], MASK).to_numpy().view(np.uint8))
        self._append("key", _hashes(table["key"]))
        self._has_twins |= bool(pc.any(pc.not_equal(table["clean_key"], "")).as_py())
        self._append("clean_key", _hashes(table["clean_key"]))
        for name in ("shard", "record"):
            if name in table.column_names:
                self._append(name, table[name].to_numpy())

    def finish(self) -> dict[str, str] | None:
        """Write the file, once `faces.parquet`, `skipped.csv` and the `.rec` files are whole.

        Returns:
            what `faceset.json` says of it; None where there is none.
        """
        if not self._usable or not self._count:
            return None
        columns = self._make_columns()
        if columns is None:
            return None
        path = self._folder / ROW_FILE
        write_row_file(path, columns, self._points if self._alike else None)
        record = {"table": digest_of(self._folder / ROWS)}
        record["skipped"] = digest_of(self._folder / SKIPPED)
        record["file"] = digest_of(path)
        file, skipped = map_file(path, record), read_skipped_rows(self._folder)
        if not _twins_hold(file, skipped):
            path.unlink()
            return None
        return record | _fingerprints(MappedRows(file), skipped)

    def _append(self, name: str, values: np.ndarray) -> None:
        if name not in self._columns:
            self._columns[name] = _Column(self._folder, values.dtype, values.shape[1:])
        self._columns[name].append(values)

    def _codes_of(self, names: pa.ChunkedArray) -> np.ndarray:
        encoded = names.combine_chunks().dictionary_encode()
        own = [
            self._codes.setdefault(name, len(self._codes))
            for name in encoded.dictionary.to_pylist()
        ]
        return np.array(own, np.int32)[encoded.indices.to_numpy()]

    def _make_columns(self) -> dict[str, pa.Array] | None:
        """Put the columns together; None where a key stands twice."""
        read = {name: column.read() for name, column in self._columns.items()}
        names = sorted(self._codes)
        places = np.empty(len(names), np.int32)
        places[[self._codes[name] for name in names]] = np.arange(len(names))
        for rows in _blocks(self._count):
            read["identity"][rows] = places[read["identity"][rows]]
        columns: dict[str, pa.Array] = {
            "identity": pa.DictionaryArray.from_arrays(pa.array(read["identity"]), pa.array(names)),
            "condition": conditions_of(read["masked"]),
        }
        order = np.argsort(read["key"])
        keys = read["key"][order]
        if (keys[1:] == keys[:-1]).any():
            return None
        if self._has_twins:
            columns["clean_row"] = pa.array(_clean_rows(read["clean_key"], keys, order))
        if not self._alike:
            flat = pa.array(read["landmarks"].reshape(-1))
            width = read["landmarks"].shape[1]
            columns["landmarks"] = pa.FixedSizeListArray.from_arrays(flat, width)
        if "record" in read:
            offsets = self._offsets(read["shard"], read["record"])
            if offsets is None:
                return None
            columns |= {name: pa.array(read[name]) for name in ("shard", "record")}
            columns["offset"] = pa.array(offsets)
        return columns

    def _offsets(self, shards: np.ndarray, records: np.ndarray) -> np.ndarray | None:
        """Look up where records begin; None where a `.rec` does not have them."""
        offsets, tables = np.empty(self._count, np.int64), {}
        for rows in _blocks(self._count):
            for shard in np.unique(shards[rows]).tolist():
                path = rec_path(self._folder, shard)
                if shard not in tables:
                    try:
                        size = path.stat().st_size
                        tables = {shard: read_index(path.with_suffix(".idx"), size)}
                    except (OSError, KitError):
                        return None
                own = rows.start + np.flatnonzero(shards[rows] == shard)
                try:
                    offsets[own] = tables[shard].offsets_of(records[own])
                except KitError:
                    return None
        return offsets


class _Column:
    """Values that are appended, in a file without a name, and mapped when they are complete."""

    def __init__(self, folder: Path, kind: np.dtype, shape: tuple[int, ...]) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by `close`
        self._kind, self._shape = kind, shape

    def append(self, values: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(values).data)

    def read(self) -> np.ndarray:
        self._file.flush()
        return np.memmap(self._file, self._kind, "r+").reshape(-1, *self._shape)

    def close(self) -> None:
        self._file.close()


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, BLOCK):
        yield slice(start, min(start + BLOCK, count))


def _hashes(texts: pa.ChunkedArray) -> np.ndarray:
    """(N,) int64, 0 for no text; different texts differ, but for a chance of 2^-64 a pair."""
    return np.array([hash(text) if text else 0 for text in texts.to_pylist()], np.int64)


def _clean_rows(clean: np.ndarray, keys: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(N,) int32 rows of the clean faces that hashes name.

    Args:
        clean: (N,) hashes of keys, 0 for none.
        keys: (N,) hashes of all keys, ascending.
        order: (N,) their rows.
    """
    found = np.full(len(clean), NO_TWIN, np.int32)
    for rows in _blocks(len(clean)):
        twins = np.flatnonzero(clean[rows])
        wanted = clean[rows][twins]
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        found[rows.start + twins] = np.where(keys[places] == wanted, order[places], GONE)
    return found


def _fingerprints(rows: MappedRows, skipped: list[dict]) -> dict[str, str]:
    """Compute the fingerprints of each extent of rows; equal ones once."""
    found: dict[str, str] = {}
    known: dict[tuple, str] = {}
    for extent in EXTENTS:
        listed, chosen = skipped, rows
        if "people" in extent:
            listed = [row for row in listed if row["identity"]]
        if "clean" in extent:
            listed, chosen = [row for row in listed if row["condition"] != MASK], rows.clean()
        what = (len(chosen), *map(id, listed))
        if what not in known:
            known[what] = hash_rows(chosen, listed)
        found[extent] = known[what]
    return found


def _twins_hold(file: RowFile, skipped: list[dict]) -> bool:
    """Whether each twin's clean face is a clean one of the same person, or was not found."""
    clean = file.clean_rows
    if clean is None:
        return True
    twins = np.flatnonzero(clean != NO_TWIN)
    if not file.masked[twins].all():
        return False
    paired = twins[clean[twins] >= 0]
    own = clean[paired]
    if file.masked[own].any() or (file.codes[own] != file.codes[paired]).any():
        return False
    gone = twins[clean[twins] == GONE]
    faceless = {
        row["source"] for row in skipped if row["reason"] == NO_FACE and not row["clean_key"]
    }
    sources = MappedRows(file).take(gone).column("source").to_pylist() if len(gone) else []
    return all(source in faceless for source in sources)
