"""A teacher's embeddings of every picture of a set and of its mirror image, computed once and kept on disk as a memory map."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from mfr_kit.data.faceset import MASK, FaceSet
from mfr_kit.errors import KitError
from mfr_kit.files import write_text
from mfr_kit.models.embedders import Embedder

EMBEDDINGS, ABOUT = "embeddings.npy", "bank.json"
SAVE_EVERY = 128  # batches; what an interruption costs at most
DECODERS = (
    2  # threads that read faces while the teacher computes; OpenCV's decoder releases Python's lock
)


class Pictures(Protocol):
    """What a bank is made of: a face set, or views drawn of one (training/masked.py). `fingerprint` names the pictures."""

    name: str
    fingerprint: str
    keys: np.ndarray

    def __len__(self) -> int: ...

    def image(self, index: int) -> np.ndarray:
        """(112, 112, 3) uint8 RGB; called from several threads."""
        ...


@dataclass(frozen=True)
class Bank:
    """`embeddings` (N, 2, D): row i holds f(x_i) and f(mirrored x_i), as the teacher gave them, in the order of the face set."""

    folder: Path
    embeddings: np.ndarray

    def rows(self, indices: np.ndarray, mirrored: np.ndarray | int = 0) -> np.ndarray:
        """Gather (B, D) float32 embeddings; `mirrored` is 0 or 1 for each index."""
        return np.asarray(self.embeddings[indices, mirrored], np.float32)

    def sums(self, indices: np.ndarray) -> np.ndarray:
        """Gather (B, D) float32: the sum of both normalised embeddings, normalised."""
        both = np.asarray(self.embeddings[indices], np.float32)
        total = (both / np.linalg.norm(both, axis=2, keepdims=True)).sum(axis=1)
        return total / np.linalg.norm(total, axis=1, keepdims=True)


def fill(
    root: Path,
    faces: FaceSet,
    teacher: Embedder,
    *,
    batch: int = 8,
    dtype: str = "float32",
    progress: bool = True,
) -> Bank:
    """Open the bank of clean faces that targets are taken from; see `store`.

    Raises:
        KitError: a masked face in the set, or what `store` raises.
    """
    if (faces.conditions == MASK).any():
        raise KitError(
            f"{faces.name} holds masked faces: the teacher's bank is made of clean ones only"
        )
    return store(root, faces, teacher, batch=batch, dtype=dtype, progress=progress)


def store(
    root: Path,
    faces: Pictures,
    teacher: Embedder,
    *,
    batch: int = 8,
    dtype: str = "float32",
    progress: bool = True,
) -> Bank:
    """Open the bank of these pictures and this teacher under `root`, computing what is missing of it.

    A bank is named by what it was made from, so several share a root; one that was interrupted is continued where it stopped.

    Args:
        root: folder of banks.
        faces: pictures of faces, masked or not.
        teacher: what embeds them.
        batch: faces a teacher call (twice as many images).
        dtype: "float32" or "float16" on disk.
        progress: show a bar.
    Raises:
        KitError: a bank on disk that is not what its name says, or a teacher that gives what is not finite.
    """
    folder, about = _place(root, faces, teacher, dtype)
    done = _rows_done(folder, about)
    if done == 0:
        folder.mkdir(parents=True, exist_ok=True)
        shape = (len(faces), 2, teacher.embedding_size)
        np.lib.format.open_memmap(folder / EMBEDDINGS, mode="w+", dtype=dtype, shape=shape).flush()
    if done < len(faces):
        _compute(folder, faces, teacher, about, done=done, batch=batch, progress=progress)
    return Bank(folder, np.load(folder / EMBEDDINGS, mmap_mode="r"))


def missing(root: Path, faces: Pictures, teacher: Embedder, dtype: str) -> int:
    """Count the faces that `fill` would still have to embed."""
    return len(faces) - _rows_done(*_place(root, faces, teacher, dtype))


def _place(root: Path, faces: Pictures, teacher: Embedder, dtype: str) -> tuple[Path, dict]:
    about = {
        "set": faces.fingerprint,
        "teacher": teacher.fingerprint,
        "rows": len(faces),
        "embedding_size": teacher.embedding_size,
        "dtype": dtype,
    }
    return (
        root
        / f"{teacher.name.replace('/', '-')}-{teacher.fingerprint[:8]}-{faces.fingerprint[:8]}-{dtype}",
        about,
    )


def _compute(
    folder: Path,
    faces: Pictures,
    teacher: Embedder,
    about: dict,
    *,
    done: int,
    batch: int,
    progress: bool,
) -> None:
    table = np.load(folder / EMBEDDINGS, mmap_mode="r+")
    bar = tqdm(
        total=len(faces),
        initial=done,
        unit=" faces",
        desc=f"{teacher.name} on {faces.name}",
        disable=not progress,
    )
    with bar:
        for number, (start, images) in enumerate(_images(faces, done, batch), start=1):
            both = teacher.embed(np.concatenate([images, images[:, :, ::-1]]))
            if not np.isfinite(both).all():
                bad = np.flatnonzero(~np.isfinite(both).all(axis=1))[0] % len(images) + start
                raise KitError(
                    f"the teacher {teacher.name} gave a non-finite embedding for {faces.keys[bad]}"
                )
            table[start : start + len(images)] = both.reshape(2, len(images), -1).swapaxes(0, 1)
            bar.update(len(images))
            if number % SAVE_EVERY == 0 or start + len(images) == len(faces):
                table.flush()
                write_text(
                    folder / ABOUT, json.dumps({**about, "done": start + len(images)}, indent=2)
                )


def _images(faces: Pictures, done: int, batch: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first row, (B, 112, 112, 3) uint8) with the next batch being read meanwhile."""

    def read(start: int) -> np.ndarray:
        return np.stack([faces.image(i) for i in range(start, min(start + batch, len(faces)))])

    starts = range(done, len(faces), batch)
    with ThreadPoolExecutor(DECODERS) as pool:
        waiting = [pool.submit(read, start) for start in starts[: DECODERS + 1]]
        for number, start in enumerate(starts):
            images = waiting.pop(0).result()
            if number + DECODERS + 1 < len(starts):
                waiting.append(pool.submit(read, starts[number + DECODERS + 1]))
            yield start, images


def _rows_done(folder: Path, about: dict) -> int:
    if not (folder / ABOUT).is_file() or not (folder / EMBEDDINGS).is_file():
        return 0
    found = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    wrong = [name for name, value in about.items() if found.get(name) != value]
    size = os.path.getsize(folder / EMBEDDINGS)
    if (
        wrong
        or size < about["rows"] * 2 * about["embedding_size"] * np.dtype(about["dtype"]).itemsize
    ):
        raise KitError(
            f"{folder} was made from something else ({', '.join(wrong) or 'its size is wrong'}): delete it and start again"
        )
    return found["done"]
