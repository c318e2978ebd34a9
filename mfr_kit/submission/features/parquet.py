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
    import pyarrow.parquet as pq

    from mfr_kit.errors import KitError

    table = pq.read_table(path).combine_chunks()
    if table["name"].to_pylist() != list(names):
        raise KitError(f"{path}: its names are not those of the list")
    size = table.schema.field("embedding").type.list_size
    return table["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, size)
