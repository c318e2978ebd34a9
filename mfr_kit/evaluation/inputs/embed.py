"""Embed a face set: files are decoded by threads while the network runs, and the result is kept
by content.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from mfr_kit import assets
from mfr_kit.models import identity, rounding, sanity
from mfr_kit.models.embedders import Embedder
from mfr_kit.models.stored import StoredArray
from mfr_kit.models.torch_embedder import embed_stream

BATCH = 64
AHEAD = 3  # batches decoded before the network asks for them
WORKERS_FOR_DEVICE = 16  # threads that read and decode for a network on a device


class Pictures(Protocol):
    """What can be embedded: a face set, or another set of aligned faces; `fingerprint` names its
    contents.
    """

    @property
    def fingerprint(self) -> str: ...

    def __len__(self) -> int: ...

    def image(self, index: int) -> np.ndarray:
        """(112, 112, 3) uint8 RGB; called from several threads."""
        ...


def embed_set(
    embedder: Embedder,
    faceset: Pictures,
    *,
    flip: bool = False,
    batch: int = BATCH,
    workers: int = 2,
    cache: Path | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Embed every face of a set.

    Args:
        embedder: from `load_embedder`.
        faceset: faces, in the order of the rows returned.
        flip: return f(face) + f(mirrored face), as the feature files of the challenges do.
        batch: faces a run of the network.
        workers: threads that read and decode.
        cache: folder of stored results (`cache_folder()`), None for none; see models/identity.py
            and models/stored.py.
        progress: told the number of faces of every batch done.
    Returns:
        (len(faceset), D) float32, not normalised.
    Raises:
        KitError: a face cannot be read, or the model gives what is no embedding (models/sanity.py).
    """
    kept = stored(embedder, faceset, flip, cache)
    known = kept.read() if kept else None
    if known is None:
        known = _embed(embedder, faceset, flip, batch, workers, progress)
        if kept:
            kept.write(known)
    else:
        progress(len(faceset))
    sanity.warn_collapsed(embedder.name, known)
    return known


def stored(
    embedder: Embedder, faceset: Pictures, flip: bool, cache: Path | None
) -> StoredArray | None:
    """Say where the embeddings of a set are kept; None without a cache."""
    if cache is None:
        return None
    described = identity.describe(embedder, faceset, "added" if flip else "left out")
    return StoredArray(cache / f"{identity.digest(described)}.npy", described)


def _embed(
    embedder: Embedder,
    faceset: Pictures,
    flip: bool,
    batch: int,
    workers: int,
    progress: Callable[[int], None],
) -> np.ndarray:
    result = np.empty((len(faceset), embedder.embedding_size), np.float32)
    keys = getattr(faceset, "keys", None)
    constant = sanity.ConstantCheck(embedder.name)
    where = str(getattr(faceset, "name", "the set"))
    rounding.tell_rounding(embedder, len(faceset), faceset.image, where)
    if getattr(embedder, "device", "cpu") != "cpu":
        workers = max(workers, min(WORKERS_FOR_DEVICE, os.cpu_count() or 1))
    for start, faces, found in embed_stream(embedder, _batches(faceset, batch, workers), flip):
        out = found[: len(faces)]
        rows = range(start, start + len(faces))
        names = [f"image {row}" for row in rows] if keys is None else keys[start : rows.stop]
        sanity.refuse_broken(embedder.name, out, names)
        constant.see(faces, out)
        result[start : rows.stop] = out + found[len(faces) :] if flip else out
        progress(len(faces))
    constant.finish()
    return result


def cache_folder() -> Path:
    """Where embeddings are kept: `embeddings` in the kit's cache folder (`MFR_KIT_HOME`)."""
    return assets.home() / "embeddings"


def _batches(faceset: Pictures, batch: int, workers: int) -> Iterator[tuple[int, np.ndarray]]:
    def read(start: int) -> tuple[int, np.ndarray]:
        return start, np.stack(
            [faceset.image(index) for index in range(start, min(start + batch, len(faceset)))]
        )

    starts = iter(range(batch, len(faceset), batch))
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        # all threads share the first batch, so that the network need not wait for one of them
        first = pool.map(faceset.image, range(min(batch, len(faceset))))
        waiting = deque(pool.submit(read, start) for start in islice(starts, max(AHEAD, workers)))
        try:
            if len(faceset):
                yield 0, np.stack(list(first))
            while waiting:
                for start in islice(starts, 1):
                    waiting.append(pool.submit(read, start))
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
