"""Write the rows of a face set, a few thousand at a time."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mfr_kit import files
from mfr_kit.data.face_set.faceset_files import ABOUT, RECORD_COLUMNS, ROWS, SCHEMA, SKIPPED
from mfr_kit.data.face_set.row_file_writer import RowFileWriter
from mfr_kit.data.photographs import skipped_list

GROUP_ROWS = 8192  # rows of faces.parquet that are written (and held) together


class RowsWriter:
    """Write `faces.parquet` and the `faces.arrow` that belongs to it.

    Args:
        folder: of the set.
        schema: `SCHEMA`, with `RECORD_COLUMNS` in a set of records.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._index = RowFileWriter(folder)
        self._table = pq.ParquetWriter(folder / ROWS, schema)

    def __enter__(self) -> "RowsWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._table.close()
        self._index.close()

    def write(self, table: pa.Table) -> None:
        """Append rows."""
        self._table.write_table(table, GROUP_ROWS)
        self._index.add(table)

    def finish(self) -> dict[str, str] | None:
        """End both, once `skipped.csv` and the `.rec` files are whole; see
        `RowFileWriter.finish`.
        """
        self._table.close()
        return self._index.finish()


def write_rows(
    folder: Path,
    chunks: Iterable[tuple[list[dict], list[dict]]],
    about: dict,
    in_records: bool = False,
) -> dict:
    """Write `faces.parquet`, `skipped.csv`, `faces.arrow` and `faceset.json` from chunks of (face
    rows, skipped rows), holding a few chunks at a time.

    The bytes depend on the rows alone, not on how they are divided into chunks.

    Args:
        folder: of the set.
        chunks: rows by the names of `SCHEMA` and `SKIPPED_COLUMNS`.
        about: for `faceset.json`.
        in_records: rows have `RECORD_COLUMNS` too.
    Returns:
        what `faceset.json` says: `about` with the counts.
    """
    schema = pa.schema([*SCHEMA, *RECORD_COLUMNS]) if in_records else SCHEMA
    counts = {"faces": 0, "twins": 0, "skipped": 0}
    with (
        RowsWriter(folder, schema) as rows,
        (folder / SKIPPED).open("w", encoding="utf-8", newline="") as file,
    ):
        skipped_list.write_skipped_header(file)
        waiting: list[dict] = []
        for faces, skipped in chunks:
            skipped_list.write_skipped_rows(file, skipped)
            twins = sum(bool(face["clean_key"]) for face in faces)
            for name, more in (
                ("faces", len(faces) - twins),
                ("twins", twins),
                ("skipped", len(skipped)),
            ):
                counts[name] += more
            waiting += faces
            while len(waiting) >= GROUP_ROWS:
                rows.write(pa.Table.from_pylist(waiting[:GROUP_ROWS], schema))
                waiting = waiting[GROUP_ROWS:]
        rows.write(pa.Table.from_pylist(waiting, schema))
        file.close()
        record = rows.finish()
    about = {**about, "counts": counts}
    if record is not None:
        about["rows"] = record
    files.write_json(folder / ABOUT, about, sort_keys=True)
    return about
