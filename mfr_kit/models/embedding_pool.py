"""A recogniser on a Ray cluster: actors that load it once, read pictures from a disk that all
machines share and embed them block by block, in the batches of one machine.

An actor's answer is a block's embeddings, which the process that asked writes where they belong:
it alone knows a bank's claims and checksums, and has to look at every block anyway.
"""

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mfr_kit import __version__, cluster
from mfr_kit.errors import KitError
from mfr_kit.models import embedders
from mfr_kit.models.embedders import Embedder
from mfr_kit.models.picture_stream import Pictures, Span, embed_pictures

BLOCK = 512  # faces of a task: a megabyte of embeddings, which come back as one answer


def load_on(engine: str, spec: str, *, threads: int = 0, device: str = "cpu", **how: Any) -> Any:
    """Load a recogniser for an engine.

    Args:
        engine: "local", or "ray" for actors of the cluster that this process is connected to
            (`cluster.connected`).
        spec: see `load_embedder`.
        threads: likewise; on a cluster the CPUs that each actor takes, 1 if not given.
        device: likewise; on a cluster a GPU each if it is not "cpu".
        how: what else `load_embedder` takes.
    Raises:
        KitError: see `load_embedder`.
    """
    embedder = embedders.load_embedder(spec, threads=threads, device=device, **how)
    if engine != "ray":
        return embedder
    load = Load(spec, embedder.fingerprint, {**how, "threads": threads or 1, "device": device})
    return PooledEmbedder(embedder, load)


def release(embedder: Any) -> None:
    """End the actors of a recogniser, if it has any."""
    if isinstance(embedder, PooledEmbedder):
        embedder.close()


@dataclass(frozen=True)
class Load:
    """What actors load: the arguments of `load_embedder`, and what the weights have to be."""

    spec: str
    fingerprint: str
    how: dict[str, Any]
    version: str = __version__
    folder: Path = field(default_factory=Path.cwd)  # that relative paths are meant from


@dataclass(frozen=True)
class Block:
    """Rows of pictures, which lie in the cluster's memory under a reference."""

    pictures: Any
    start: int
    stop: int
    batch: int
    mirrored: bool
    readers: int

    def __str__(self) -> str:
        return f"faces {self.start}-{self.stop - 1}"


class BlockEmbedder:
    """An actor (see `mfr_kit.cluster.Worker`)."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._pictures: tuple[Any, Any] = None, None  # the reference, and what it stands for

    def load(self) -> str:
        """Load the recogniser.

        Raises:
            KitError: another version of the kit or of the weights is on this machine.
        """
        import cv2

        cv2.setNumThreads(1)  # actors are the parallelism
        asked, place = self._load, socket.gethostname()
        if asked.version != __version__:
            raise KitError(
                f"{place} has version {__version__} of the kit, not {asked.version}: install it"
            )
        with contextlib.suppress(OSError):
            os.chdir(asked.folder)
        self._embedder = embedders.load_embedder(asked.spec, **asked.how)
        if self._embedder.fingerprint != asked.fingerprint:
            raise KitError(
                f"{place} has other weights of {asked.spec} than this machine: models and face "
                "sets have to lie on a disk that all machines share, or be the same on all"
            )
        return place

    def work(self, task: Block, again: bool) -> Iterator[np.ndarray]:
        """Embed a block and yield (n or 2 n, D) float32, the mirror images last."""
        pictures = self._open(task.pictures)
        count = task.stop - task.start
        faces = np.empty((count, self._embedder.embedding_size), np.float32)
        mirrored = np.empty_like(faces if task.mirrored else faces[:0])
        for start, number, found in embed_pictures(
            self._embedder,
            pictures,
            [(task.start, task.stop)],
            task.batch,
            mirrored=task.mirrored,
            readers=task.readers,
        ):
            first = start - task.start
            faces[first : first + number] = found[:number]
            if task.mirrored:
                mirrored[first : first + number] = found[number:]
        yield np.concatenate([faces, mirrored])

    def _open(self, reference: Any) -> Pictures:
        import ray

        if self._pictures[0] != reference:
            self._pictures = reference, ray.get(reference)
        return self._pictures[1]


def _say(line: str) -> None:
    print(line, file=sys.stderr)


class PooledEmbedder:
    """A recogniser, and actors that have it too; they start when pictures are first embedded.

    Args:
        embedder: the recogniser, here: whatever is asked of single faces.
        load: what the actors load.
        say: is told which actor was lost.
    """

    def __init__(self, embedder: Embedder, load: Load, say: Callable[[str], None] = _say):
        self._embedder, self._load, self._say = embedder, load, say
        self._pool: cluster.Pool | None = None
        self._put: tuple[Any, Any] = None, None  # pictures, and the reference to them

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def close(self) -> None:
        """End the actors; they would start again."""
        if self._pool is not None:
            self._pool.__exit__()
        self._pool, self._put = None, (None, None)

    def embed_blocks(
        self, pictures: Pictures, spans: Iterable[Span], batch: int, mirrored: bool, readers: int
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """As `picture_stream.embed_pictures`, in any order."""
        import ray

        if self._put[0] is not pictures:
            self._put = pictures, ray.put(pictures)
        step = batch * max(1, BLOCK // batch)
        blocks = (
            Block(self._put[1], first, min(first + step, stop), batch, mirrored, readers)
            for start, stop in spans
            for first in range(start, stop, step)
        )
        done = set()  # an actor may be lost between its answer and its end, and another repeat it
        for block, found in self.start().results(blocks):
            if block.start in done:
                continue
            done.add(block.start)
            yield block.start, block.stop - block.start, found

    def start(self) -> cluster.Pool:
        """Start the actors, unless they have been."""
        if self._pool is None:
            on_gpu, threads = self._load.how["device"] != "cpu", self._load.how["threads"]
            there = cluster.capacity("CPU"), cluster.capacity("GPU")
            size, resources = cluster.share(on_gpu, None, *there, threads=threads)
            self._pool = cluster.Pool(BlockEmbedder, (self._load,), size, self._say, **resources)
            self._pool.__enter__()
        return self._pool
