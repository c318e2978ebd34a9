"""A recogniser that needs no weights: it looks at a few coarse colours of the face."""

import hashlib

import numpy as np


class ColourEmbedder:
    """Mean colours of a grid of cells, without those of the lower half if `upper`."""

    lineage = None

    def __init__(self, name: str = "colours", upper: bool = False) -> None:
        self.name, self.upper, self.calls = name, upper, 0
        self.fingerprint = hashlib.sha256(f"colours {upper}".encode()).hexdigest()
        self.embedding_size = 48 // (1 + upper)

    def embed(self, faces: np.ndarray) -> np.ndarray:
        self.calls += 1
        rows = faces[:, : 56 if self.upper else 112]
        cells = rows.reshape(len(rows), -1, 28, 4, 28, 3).mean((2, 4), dtype=np.float64) - 120
        return cells.reshape(len(rows), -1).astype(np.float32)
