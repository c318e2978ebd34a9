"""Unit embeddings that are written to disk as they come, and read as a memory map."""

import tempfile
from pathlib import Path

import numpy as np


class UnitRows:
    """Rows in a file without a name, which is gone with whatever uses them.

    Args:
        folder: on the disk that they are written to; None for the system's temporary one.
    """

    def __init__(self, folder: Path | None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  the memory map keeps it
        self._count, self._size = 0, 0

    def __len__(self) -> int:
        return self._count

    def add(self, embeddings: np.ndarray, start: int | None = None) -> None:
        """Write (B, D) embeddings, of any norm, behind the others or from row `start` on; one of
        zeros stays zeros.
        """
        rows = np.array(embeddings, np.float32, order="C")
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        if start is not None:
            self._file.seek(start * rows[0].nbytes)
        self._file.write(rows.data)
        self._count, self._size = self._count + len(rows), rows.shape[1]

    def finish(self) -> np.ndarray:
        """Map all (N, D) float32 rows, N >= 1; they can be written to."""
        self._file.flush()
        return np.memmap(self._file, np.float32, "r+", shape=(self._count, self._size))


def nearest_folder(path: Path) -> Path:
    """Return the folder that is there already, itself or above, of one that is to be made."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
