"""Embed a face set: files are decoded by threads while the network runs, and the result is kept
by content.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mfr_kit import assets
from mfr_kit.models import identity, rounding, sanity
from mfr_kit.models.embedders import Embedder
from mfr_kit.models.picture_stream import Pictures, embed_pictures
from mfr_kit.models.stored import StoredArray

BATCH = 64


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
    computed = False

    def compute() -> np.ndarray:
        nonlocal computed
        computed = True
        return _embed(embedder, faceset, flip, batch, workers, progress)

    name = getattr(faceset, "name", "a set")
    known = kept.obtain(f"embeds {name} with {embedder.name}", compute) if kept else compute()
    if not computed:
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
    where = str(getattr(faceset, "name", "the set"))
    rounding.tell_rounding(embedder, len(faceset), faceset.image, where)
    spans = [(0, len(faceset))] if len(faceset) else []
    for start, count, found in embed_pictures(
        embedder, faceset, spans, batch, mirrored=flip, readers=workers
    ):
        out = found[:count]
        result[start : start + count] = out + found[count:] if flip else out
        progress(count)
    return result


def cache_folder() -> Path:
    """Where embeddings are kept: `embeddings` in the kit's cache folder (`MFR_KIT_HOME`)."""
    return assets.home() / "embeddings"
