"""Nearest identities by faiss, where exact search takes too long: past a million identities. The
kit itself does not need faiss.
"""

import numpy as np
import torch
from torch import Tensor

from mfr_kit.errors import KitError

# faiss's own advice: 4 sqrt(C) cells; what a query visits of them decides the recall
CELLS_PER_ROOT, PROBED = 4, 64


def nearest(prototypes: Tensor, count: int) -> Tensor:
    """Find about every identity's `count` nearest other identities with an inverted file
    (`IndexIVFFlat`, inner product).

    `python benchmarks/mining.py --faiss` measures its recall against `mining.nearest`.

    Args:
        prototypes: (C, D) unit rows.
        count: K, capped at C - 1.
    Returns:
        (C, min(K, C - 1)) int32, nearest first. Where the cells visited hold too few, the last one
        found is repeated.
    Raises:
        KitError: faiss is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise KitError(
            "--search faiss needs the package: pip install faiss-cpu, or leave the flag out"
        ) from None
    rows = np.ascontiguousarray(prototypes.cpu().numpy(), np.float32)
    classes, size = rows.shape
    count = min(count, classes - 1)
    # faiss wants 39 points a cell to train on
    cells = max(1, min(classes // 39, round(CELLS_PER_ROOT * classes**0.5)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(size), size, cells, faiss.METRIC_INNER_PRODUCT)
    index.train(rows)
    index.add(rows)
    index.nprobe = min(cells, PROBED)
    found = index.search(rows, count + 1)[1]
    return torch.from_numpy(_without_self(found, count))


def _without_self(found: np.ndarray, count: int) -> np.ndarray:
    """Drop each row's own number (or, where it is missing, the last entry), and fill gaps (-1)
    with the last identity found.
    """
    own = found == np.arange(len(found))[:, None]
    own[~own.any(axis=1), -1] = True
    others = found[~own].reshape(len(found), count)
    last = np.maximum.accumulate(np.where(others >= 0, np.arange(count), 0), axis=1)
    return np.take_along_axis(others, last, axis=1).astype(np.int32)
