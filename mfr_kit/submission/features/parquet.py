"""A parquet table of two columns: `name` as listed, `embedding` as a list of D float32 (raw)."""

from pathlib import Path

import numpy as np

SUFFIX = ".parquet"
FLIP, NORMALISE = False, False
GROUP = 4096  # rows


def write(path: Path, names: list[str], rows: np.ndarray) -> None:
    """Write (N, D) float32 rows, one row group at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("name", pa.string()), ("embedding", pa.list_(pa.float32(), rows.shape[1]))]
    )
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, len(rows), GROUP):
            block = np.ascontiguousarray(rows[start : start + GROUP])
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), rows.shape[1])
            writer.write_table(
                pa.table([pa.array(names[start : start + GROUP]), vectors], schema=schema)
            )


def read(path: Path, names: list[str]) -> np.ndarray:
    """Read (N, D) float32 back, in the order of the file.

    Raises:
        KitError: the names are not the listed ones.
    """
    from mfr_kit import tables
    from mfr_kit.errors import KitError

    advice = "write the features again"
    table = tables.read_parquet(path, advice).combine_chunks()
    if tables.as_text(table, "name", str(path), advice).to_pylist() != list(names):
        raise KitError(f"{path}: its names are not those of the list")
    rows = tables.as_lists(table, "embedding", None, str(path), advice).combine_chunks()
    lengths = set(rows.value_lengths().to_pylist())
    if len(lengths) != 1:
        raise KitError(
            f"{path}: the lists of column 'embedding' are not all of one length; {advice}"
        )
    return rows.flatten().to_numpy().reshape(-1, lengths.pop())
