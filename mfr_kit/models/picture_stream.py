"""Pictures through a recogniser, batch by batch: here, while the next ones are being read, or by
the actors of a cluster, where the recogniser has some.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from mfr_kit.models.batch_keys import BatchKeys
from mfr_kit.models.sanity import ConstantCheck, refuse_broken
from mfr_kit.models.torch_embedder import embed_stream

Span = tuple[int, int]  # first row, one past the last
READERS = 2  # threads that read faces meanwhile; OpenCV's decoder releases Python's lock
READERS_FOR_DEVICE = 16  # for a recogniser on a device, which waits for the faces
AHEAD = 3  # batches read before the recogniser asks for them


class Pictures(Protocol):
    """What can be embedded; with `keys`, errors name them. `fingerprint` names the contents."""

    @property
    def fingerprint(self) -> str: ...

    def __len__(self) -> int: ...

    def image(self, index: int) -> np.ndarray:
        """(112, 112, 3) uint8 RGB; called from several threads."""
        ...


def embed_pictures(
    embedder: Any,
    pictures: Pictures,
    spans: Iterable[Span],
    batch: int,
    *,
    mirrored: bool,
    readers: int = READERS,
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Embed rows of pictures.

    Args:
        embedder: from `load_embedder`, or of an `embedding_pool`, whose actors do it.
        pictures: what is embedded.
        spans: the rows; no batch crosses the end of a span, and each begins one. They are taken
            as they are needed.
        batch: faces a call.
        mirrored: also embed the mirror images.
        readers: threads that read; more for a recogniser on a device.
    Yields:
        first row, rows n, (n or 2 n, D) float32 of the faces and then of their mirror images. Of a
        span all rows, in order if they are embedded here.
    Raises:
        KitError: a face that cannot be read, or the model gives what is no embedding (sanity.py).
    """
    if hasattr(embedder, "embed_blocks"):
        return embedder.embed_blocks(pictures, spans, batch, mirrored, readers)
    return _embed_here(embedder, pictures, spans, batch, mirrored, readers)


def _embed_here(
    embedder: Any,
    pictures: Pictures,
    spans: Iterable[Span],
    batch: int,
    mirrored: bool,
    readers: int,
) -> Iterator[tuple[int, int, np.ndarray]]:
    ends: set[int] = set()

    def noted() -> Iterator[Span]:
        for span in spans:
            ends.add(span[1])
            yield span

    if getattr(embedder, "device", "cpu") != "cpu":
        readers = max(readers, min(READERS_FOR_DEVICE, os.cpu_count() or 1))
    constant = ConstantCheck(embedder.name)
    batches = read_batches(pictures, noted(), batch, readers)
    for start, faces, found in embed_stream(embedder, batches, mirrored):
        refuse_broken(embedder.name, found, BatchKeys(pictures, start, len(faces)))
        constant.see(faces, found[: len(faces)])
        if start + len(faces) in ends:
            constant.finish()
        yield start, len(faces), found


def read_batches(
    pictures: Pictures, spans: Iterable[Span], batch: int, readers: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first row, (B, 112, 112, 3) uint8) with the next batches being read meanwhile."""
    parts = (
        range(first, min(first + batch, stop))
        for start, stop in spans
        for first in range(start, stop, batch)
    )

    def read(part: range) -> np.ndarray:
        return np.stack([pictures.image(index) for index in part])

    with ThreadPoolExecutor(max(readers, 1)) as pool:
        # all threads share the first batch, so that the network need not wait for one of them
        first = next(parts, None)
        if first is None:
            return
        shared = pool.map(pictures.image, first)
        waiting: deque = deque()
        try:
            for part in parts:
                waiting.append((part.start, pool.submit(read, part)))
                if len(waiting) >= max(AHEAD, readers):
                    break
            yield first.start, np.stack(list(shared))
            while waiting:
                for part in parts:
                    waiting.append((part.start, pool.submit(read, part)))
                    break
                start, images = waiting.popleft()
                yield start, images.result()
        finally:
            for _, images in waiting:
                images.cancel()
