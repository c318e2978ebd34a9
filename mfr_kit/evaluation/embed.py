"""Embed a face set: files are decoded by threads while the network runs, and the result is kept by content."""

import hashlib
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mfr_kit import assets, files, system_errors
from mfr_kit.data.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.models.embedders import Embedder

BATCH = 64
AHEAD = 3  # batches decoded before the network asks for them
FORMAT = (
    "1"  # part of a cached file's name; change it when the meaning of the stored numbers changes
)


def embed_set(
    embedder: Embedder,
    faceset: FaceSet,
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
        cache: folder of stored results (`cache_folder()`), None for none; named by the set's and the model's fingerprint.
        progress: told the number of faces of every batch done.
    Returns:
        (len(faceset), D) float32, not normalised.
    """
    stored = cache / f"{_name(embedder, faceset, flip)}.npy" if cache else None
    if stored and stored.is_file():
        known = _load(stored, len(faceset), embedder.embedding_size)
        progress(len(faceset))
        return known
    result = np.empty((len(faceset), embedder.embedding_size), np.float32)
    for start, faces in _batches(faceset, batch, workers):
        out = embedder.embed(faces)
        result[start : start + len(faces)] = (
            out + embedder.embed(faces[:, :, ::-1]) if flip else out
        )
        progress(len(faces))
    if stored:
        _store(stored, result)
    return result


def cache_folder() -> Path:
    """Where embeddings are kept: `embeddings` in the kit's cache folder (`MFR_KIT_HOME`)."""
    return assets.home() / "embeddings"


def _batches(faceset: FaceSet, batch: int, workers: int) -> Iterator[tuple[int, np.ndarray]]:
    def read(start: int) -> tuple[int, np.ndarray]:
        return start, np.stack(
            [faceset.image(index) for index in range(start, min(start + batch, len(faceset)))]
        )

    with ThreadPoolExecutor(max(workers, 1)) as pool:
        waiting: deque = deque()
        try:
            for start in range(0, len(faceset), batch):
                waiting.append(pool.submit(read, start))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _name(embedder: Embedder, faceset: FaceSet, flip: bool) -> str:
    parts = (
        FORMAT,
        faceset.fingerprint,
        embedder.fingerprint,
        str(embedder.embedding_size),
        "flip" if flip else "plain",
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _load(path: Path, rows: int, size: int) -> np.ndarray:
    try:
        known = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise KitError(
            f"stored embeddings {path} cannot be read ({error}): delete the file"
        ) from None
    if known.shape != (rows, size) or known.dtype != np.float32:
        raise KitError(
            f"stored embeddings {path} have shape {known.shape}, expected {(rows, size)}: delete the file"
        )
    return known


def _store(path: Path, result: np.ndarray) -> None:
    """Keep a result for the next run; a cache that cannot be written costs that run its time, not this one its result."""
    try:
        with files.replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, result)
    except OSError as error:
        why = system_errors.explain(error) or error
        print(f"warning: embeddings are not kept for another run: {why}", file=sys.stderr)
