"""`.npy`: the (N, D) float32 matrix of raw embeddings, one row a listed image, and nothing else."""

from pathlib import Path

import numpy as np

SUFFIX = ".npy"
FLIP, NORMALISE = False, False


def write(path: Path, names: list[str], rows: np.ndarray) -> None:
    """Write (N, D) float32 rows."""
    with path.open("wb") as file:
        np.lib.format.write_array(file, rows, allow_pickle=False)


def read(path: Path, names: list[str]) -> np.ndarray:
    """Read them back, mapped rather than loaded."""
    from mfr_kit import tables

    return tables.read_npy(path, "write the features again")
