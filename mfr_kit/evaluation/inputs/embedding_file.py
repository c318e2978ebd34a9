"""Embeddings that somebody made elsewhere, as a model of `evaluate`: `.npy` in the face set's
order, or `.parquet` by key.
"""

from pathlib import Path

import numpy as np

from mfr_kit import assets, tables
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs import embedding_columns as columns
from mfr_kit.models import sanity

ADVICE = "write it again"
SUFFIXES = (".npy", ".parquet")


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
            path: `.npy`, an (N, D) matrix of floats in the order of `keys`; or `.parquet`, a column
                `key` (or `name`) and either one column of lists of D floats or D numbered columns
                of floats (see embedding_columns.py).
            keys: (N,) the keys of the whole face set, before people are chosen.
        Raises:
            KitError: it cannot be read, is of another shape, or has another number of rows than the
                set (.npy) or a key twice (.parquet).
        """
        self.name, self._path = path.name, path
        if path.suffix.lower() == ".npy":
            self._rows, names = read_rows(path)
            if len(names) != len(keys):
                many = f"{len(names)} rows for the {len(keys)} faces of the set"
                raise KitError(f"{path}: {many}; a .npy has the rows of faces.parquet in its order")
            names = list(keys)
        else:
            self._rows, names = read_rows(path)
        self._place = {str(name): row for row, name in enumerate(names)}
        self.embedding_size = self._rows.shape[1]
        self.fingerprint = assets.sha256_of(path)

    def of(self, faceset: FaceSet) -> np.ndarray:
        """Return the (len(faceset), D) float32 embeddings of a set's faces, as they stand in the
        file.

        Raises:
            KitError: a face of the set is not in the file, or its embedding has no direction.
        """
        missing = [key for key in faceset.keys if key not in self._place]
        if missing:
            raise KitError(
                f"{self._path}: no embedding of {len(missing)} of the {len(faceset)} faces of "
                f"{faceset.name}, as {missing[0]}"
            )
        rows = np.asarray(self._rows[[self._place[key] for key in faceset.keys]], np.float32)
        sanity.refuse_broken(self.name, rows, faceset.keys, mend="make the file again")
        sanity.warn_collapsed(self.name, rows)
        return rows


def is_embedding_file(spec: str) -> bool:
    """Say whether a model that `evaluate` was given is a file of embeddings."""
    return Path(spec).suffix.lower() in SUFFIXES


def read_rows(path: Path) -> tuple[np.ndarray, list[str]]:
    """Read the (N, D) embeddings of a file and the keys of its rows, which a `.npy` does not hold:
    there they are 0, 1, 2, ...

    Raises:
        KitError: it cannot be read, is of another shape, or has a key twice.
    """
    if path.suffix.lower() != ".npy":
        return _read_parquet(path)
    rows = _read_npy(path)
    return rows, [str(row) for row in range(len(rows))]


def _read_npy(path: Path) -> np.ndarray:
    rows = tables.read_npy(path, ADVICE)
    if rows.ndim != 2 or rows.dtype.kind != "f" or not rows.shape[1]:
        raise KitError(
            f"{path}: {rows.dtype} of shape {rows.shape}; embeddings are a matrix of floats, a "
            "row each face"
        )
    return rows


def _read_parquet(path: Path) -> tuple[np.ndarray, list[str]]:
    table = tables.read_parquet(path, ADVICE)
    return columns.matrix(path, table), columns.keys(path, table)
