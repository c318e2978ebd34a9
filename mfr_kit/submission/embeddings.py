"""Embed a list of faces into a feature file: in order, resumable, written atomically, read back
and compared.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from mfr_kit import files, registry
from mfr_kit.claims import claims_beside, sole
from mfr_kit.errors import KitError
from mfr_kit.models import identity, preprocess
from mfr_kit.models.embedders import Embedder
from mfr_kit.models.sanity import ConstantCheck
from mfr_kit.progress import Progress
from mfr_kit.submission.options import FORMATS
from mfr_kit.submission.sources import Source

BATCH = 32
AHEAD = 4  # batches decoded before they are needed
DECODERS = 2  # threads


@dataclass(frozen=True)
class Written:
    """A finished feature file, or folder of them."""

    path: Path
    rows: int
    embedding_size: int
    resumed_at: int  # rows that an interrupted run had left


def write_features(embedder: Embedder, source: Source, out: Path, form: str) -> Written:
    """Write the embeddings of a source, one row a face in the source's order, as a file of a
    format.

    An interrupted run leaves a `.part` file beside `out` and is continued when it is started again
    with the same model, list and format. Another process that writes `out` is waited for.

    Args:
        embedder: what embeds.
        source: the faces.
        out: the file (folder, for MegaFace) to write; replaced if it is there.
        form: a file of submission/features/.
    Raises:
        KitError: a face that cannot be read or embedded, or a file that does not read back as
            written.
    """
    plugin = registry.get(FORMATS, form)
    described = {
        "model": identity.describe_model(embedder),
        "preprocessing": preprocess.VERSION,
        "faces": source.fingerprint,
        "rows": [bool(plugin.FLIP), bool(plugin.NORMALISE)],
    }
    part = out.parent / f".{out.name[:48]}.{identity.digest(described)[:16]}.part"
    sums = part.with_name(f"{part.name}.sums")
    with sole(claims_beside(out), "rows", f"writes {out}"):
        with files.attributed_to(out, part):
            done = _rows_done(part, sums, embedder.embedding_size)
            _append(embedder, source, part, sums, done, plugin)
        rows = np.memmap(part, "<f4", "r", 0, (len(source.names), embedder.embedding_size))
        _finish(plugin, out, source.names, rows)
        del rows
        part.unlink()
        sums.unlink(missing_ok=True)
    return Written(out, len(source.names), embedder.embedding_size, done)


def _rows_done(part: Path, sums: Path, size: int) -> int:
    """Count the rows that can be believed: whole batches, as a continued run embeds in the same
    ones, whose checksums are right.
    """
    if not (part.is_file() and sums.is_file()):
        return 0
    listed = sums.read_bytes().split(b"\n")[:-1]
    with part.open("rb") as file:
        for number, listed_sum in enumerate(listed):
            batch = file.read(4 * size * BATCH)
            if len(batch) < 4 * size * BATCH or _sum(batch) != listed_sum:
                return number * BATCH
    return len(listed) * BATCH


def _sum(batch: bytes) -> bytes:
    return hashlib.blake2b(batch, digest_size=16).hexdigest().encode("ascii")


def _append(
    embedder: Embedder, source: Source, part: Path, sums: Path, done: int, plugin: ModuleType
) -> None:
    constant = ConstantCheck(embedder_name(embedder))
    with (
        _resumed(part, done * 4 * embedder.embedding_size) as file,
        _resumed(sums, done // BATCH * 33) as summed,
        Progress(len(source.names), "features", "faces", done=done) as progress,
    ):
        for start, faces in _batches(source, done):
            rows = embedder.embed(faces)
            constant.see(faces, rows)
            if plugin.FLIP:
                rows = rows + embedder.embed(np.ascontiguousarray(faces[:, :, ::-1]))
            data = _checked(rows, source.names, start, plugin.NORMALISE).astype("<f4").tobytes()
            file.write(data)
            file.flush()
            if len(faces) == BATCH:
                summed.write(_sum(data) + b"\n")
                summed.flush()
            progress.advance(len(faces))
        constant.finish()


def embedder_name(embedder: Embedder) -> str:
    """What a complaint calls a model."""
    return getattr(embedder, "name", "the model")


def _resumed(path: Path, size_bytes: int):
    """Open a file to write behind its first bytes; what stood there is cut off."""
    file = path.open("r+b" if path.exists() else "w+b")
    file.truncate(size_bytes)
    file.seek(0, os.SEEK_END)
    return file


def _batches(source: Source, done: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first row, faces) in order; a few batches are decoded ahead in threads."""
    starts = list(range(done, len(source.names), BATCH))
    with ThreadPoolExecutor(DECODERS) as pool:
        waiting = [pool.submit(source.read, start, start + BATCH) for start in starts[:AHEAD]]
        for number, start in enumerate(starts):
            faces = waiting.pop(0).result()
            if number + AHEAD < len(starts):
                waiting.append(
                    pool.submit(source.read, starts[number + AHEAD], starts[number + AHEAD] + BATCH)
                )
            yield start, faces


def _checked(rows: np.ndarray, names: list[str], start: int, normalise: bool) -> np.ndarray:
    norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0))
    if len(bad):
        raise KitError(
            f"{names[start + bad[0]]}: its embedding is zero or not finite; the model is broken "
            "(`kit.py check` tells more)"
        )
    return rows / norms if normalise else rows


def _finish(plugin: ModuleType, out: Path, names: list[str], rows: np.ndarray) -> None:
    """Write beside `out`, read back, compare, and only then move into place."""
    with files.attributed_to(out), files.scratch(out) as folder:
        made = folder / out.name
        plugin.write(made, names, rows)
        found = plugin.read(made, names)
        if found.shape != rows.shape or not all(
            np.array_equal(found[at : at + 4096], rows[at : at + 4096])
            for at in range(0, len(rows), 4096)
        ):
            raise KitError(
                f"{out}: what was written does not read back the same; is the disk full or "
                "failing? The work so far is kept"
            )
        del found
        if out.is_dir() and made.is_dir():
            shutil.rmtree(out)
        files.move_into_place(made, out)
