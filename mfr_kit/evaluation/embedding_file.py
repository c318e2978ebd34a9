"""Embeddings that somebody made elsewhere, as a model of `evaluate`: `.npy` in the face set's order, or `.parquet` by key."""

from collections import Counter
from pathlib import Path

import numpy as np

from mfr_kit import assets
from mfr_kit.data.faceset import FaceSet
from mfr_kit.errors import KitError

SUFFIXES = (".npy", ".parquet")
KEYS = ("key", "name")  # the latter is how the kit's own feature files call it


class EmbeddingFile:
    """A model of which only the embeddings of one face set are known.

    Attributes:
        name: the file's name.
        fingerprint: its SHA-256.
        embedding_size: D.
        lineage: None, a file of embeddings does not tell.
    """

    lineage = None

    def __init__(self, path: Path, keys: np.ndarray) -> None:
        """Read a file.

        Args:
            path: `.npy`, an (N, D) matrix of floats in the order of `keys`; or `.parquet`, a column `key` (or `name`) and either one column
                of lists of D floats or D columns of floats, in the file's order.
            keys: (N,) the keys of the whole face set, before people are chosen.
        Raises:
            KitError: it cannot be read, is of another shape, or has another number of rows than the set (.npy) or a key twice (.parquet).
        """
        self.name, self._path = path.name, path
        if path.suffix == ".npy":
            self._rows, names = read_rows(path)
            if len(names) != len(keys):
                many = f"{len(names)} rows for the {len(keys)} faces of the set"
                raise KitError(f"{path}: {many}; a .npy has the rows of faces.parquet in its order")
            names = keys
        else:
            self._rows, names = read_rows(path)
        self._place = {str(name): row for row, name in enumerate(names)}
        self.embedding_size = self._rows.shape[1]
        self.fingerprint = assets.sha256_of(path)

    def of(self, faceset: FaceSet) -> np.ndarray:
        """Return the (len(faceset), D) float32 embeddings of a set's faces, as they stand in the file.

        Raises:
            KitError: a face of the set is not in the file.
        """
        missing = [key for key in faceset.keys if key not in self._place]
        if missing:
            raise KitError(
                f"{self._path}: no embedding of {len(missing)} of the {len(faceset)} faces of {faceset.name}, as {missing[0]}"
            )
        return np.asarray(self._rows[[self._place[key] for key in faceset.keys]], np.float32)


def is_embedding_file(spec: str) -> bool:
    """Say whether a model that `evaluate` was given is a file of embeddings."""
    return Path(spec).suffix in SUFFIXES


def read_rows(path: Path) -> tuple[np.ndarray, list[str]]:
    """Read the (N, D) embeddings of a file and the keys of its rows, which a `.npy` does not hold: there they are 0, 1, 2, ...

    Raises:
        KitError: it cannot be read, is of another shape, or has a key twice.
    """
    if path.suffix != ".npy":
        return _read_parquet(path)
    rows = _read_npy(path)
    return rows, [str(row) for row in range(len(rows))]


def _read_npy(path: Path) -> np.ndarray:
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise KitError(f"{path}: cannot be read as .npy ({error})") from None
    if rows.ndim != 2 or rows.dtype.kind != "f" or not rows.shape[1]:
        raise KitError(
            f"{path}: {rows.dtype} of shape {rows.shape}; embeddings are a matrix of floats, a row each face"
        )
    return rows


def _read_parquet(path: Path) -> tuple[np.ndarray, list[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise KitError(f"{path}: cannot be read as parquet ({error})") from None
    column = next((name for name in KEYS if name in table.column_names), None)
    if column is None:
        raise KitError(
            f"{path}: no column 'key' (found {', '.join(table.column_names[:5]) or 'none'}): it names the faces as faces.parquet does"
        )
    keys = table[column].to_pylist()
    twice = [key for key, number in Counter(keys).items() if number > 1]
    if twice:
        raise KitError(f"{path}: the key {twice[0]} stands there twice")
    return _matrix(path, table), keys


def _matrix(path: Path, table) -> np.ndarray:
    """Return the (N, D) float32 embeddings: of the one column of lists, else of all columns of floats."""
    import pyarrow as pa

    kinds = {field.name: field.type for field in table.schema}
    lists = [
        name
        for name, kind in kinds.items()
        if pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
    ]
    numbers = [name for name, kind in kinds.items() if pa.types.is_floating(kind)]
    if len(lists) > 1 or not (lists or numbers):
        raise KitError(
            f"{path}: {len(lists)} columns of lists and {len(numbers)} of floats; give one column of lists, or a float column each number"
        )
    holed = [name for name in lists or numbers if table[name].null_count]
    if holed:
        raise KitError(f"{path}: column '{holed[0]}' has empty fields")
    if not lists:
        return np.column_stack([table[name].to_numpy() for name in numbers]).astype(np.float32)
    column = table[lists[0]].combine_chunks()
    values = column.flatten()
    if (
        len(column) == 0
        or len(values) % len(column)
        or len(set(column.value_lengths().to_pylist())) != 1
    ):
        raise KitError(f"{path}: the lists of column '{lists[0]}' are not all of one length")
    if not (pa.types.is_floating(values.type) and values.null_count == 0):
        raise KitError(
            f"{path}: column '{lists[0]}' holds {values.type} or empty fields, not floats"
        )
    return values.to_numpy(zero_copy_only=False).reshape(len(column), -1).astype(np.float32)
