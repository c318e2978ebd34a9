"""A teacher's embeddings of every picture of a set and of its mirror image, computed once and
kept on disk as a memory map.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from mfr_kit.claims import CLAIMS, POLL_S, Claims, WaitNote
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.losses._batch import unit
from mfr_kit.models import identity
from mfr_kit.models.embedders import Embedder
from mfr_kit.models.picture_stream import Pictures as Unnamed
from mfr_kit.models.picture_stream import embed_pictures
from mfr_kit.models.placement import pin, send
from mfr_kit.models.rounding import tell_rounding
from mfr_kit.progress import Progress
from mfr_kit.training.teacher import bank_place
from mfr_kit.training.teacher.bank_table import Table

SAVE_EVERY = 128  # batches; what an interruption costs at most


class Pictures(Unnamed, Protocol):
    """What a bank is made of: a face set, or views drawn of one (adapt/masked_views.py)."""

    @property
    def name(self) -> str: ...

    @property
    def keys(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Bank:
    """`embeddings` (N, 2, D): row i holds f(x_i) and f(mirrored x_i), as the teacher gave them,
    in the order of the face set.
    """

    folder: Path
    embeddings: np.ndarray
    # the same rows as (2 N, D), where `placed` has put them; None: read from `embeddings`
    resident: torch.Tensor | None = None

    def placed(self, device: torch.device, where: str = "auto") -> "Bank":
        """Return this bank with its rows looked up where `--bank-on` says (bank_place.py)."""
        return replace(self, resident=bank_place.place(self.embeddings, device, where))

    def lookup(
        self, device: torch.device, indices: np.ndarray, mirrored: np.ndarray | int = 0
    ) -> torch.Tensor:
        """Gather (B, D) float32 embeddings on a device."""
        return self.fetch(device, indices, mirrored)()

    def lookup_sums(self, device: torch.device, indices: np.ndarray) -> torch.Tensor:
        """Gather what `sums` gathers, on a device."""
        return self.fetch_sums(device, indices)()

    def fetch(
        self, device: torch.device, indices: np.ndarray, mirrored: np.ndarray | int = 0
    ) -> Callable[[], torch.Tensor]:
        """Read, on the calling thread, what `lookup` gives; a call of what is returned puts it on
        the device.
        """
        if self.resident is None:
            return _ready(torch.from_numpy(self.rows(indices, mirrored)), device)
        numbers = torch.from_numpy(2 * np.asarray(indices, np.int64) + mirrored)
        if self.resident.device.type == "cpu":
            return _ready(self.resident.index_select(0, numbers).to(torch.float32), device)
        rows, there = self.resident, pin(numbers, self.resident.device)
        return lambda: rows.index_select(0, send(there, rows.device)).to(torch.float32)

    def fetch_sums(self, device: torch.device, indices: np.ndarray) -> Callable[[], torch.Tensor]:
        """Read what `lookup_sums` gives, as `fetch` does."""
        if self.resident is None:
            return _ready(torch.from_numpy(self.sums(indices)), device)
        first, second = (self.fetch(device, indices, mirrored) for mirrored in (0, 1))
        return lambda: unit(unit(first()) + unit(second()))

    def rows(self, indices: np.ndarray, mirrored: np.ndarray | int = 0) -> np.ndarray:
        """Gather (B, D) float32 embeddings; `mirrored` is 0 or 1 for each index."""
        return np.asarray(self.embeddings[indices, mirrored], np.float32)

    def sums(self, indices: np.ndarray) -> np.ndarray:
        """Gather (B, D) float32: the sum of both normalised embeddings, normalised."""
        both = np.asarray(self.embeddings[indices], np.float32)
        total = (both / np.linalg.norm(both, axis=2, keepdims=True)).sum(axis=1)
        return total / np.linalg.norm(total, axis=1, keepdims=True)


def _ready(rows: torch.Tensor, device: torch.device) -> Callable[[], torch.Tensor]:
    rows = pin(rows, device)
    return lambda: send(rows, device)


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
    if faces.masked.any():
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
    """Open the bank of these pictures and this teacher under `root`, computing what is missing of
    it.

    A bank is named by what it depends on (models/identity.py), so several share a root, and several
    runs and the ranks of one share a bank, which they fill together: each takes the next block of
    rows that nobody has (claims.py). Every block has a checksum; what was interrupted is continued
    by however many processes come, and of a bank that is damaged the damaged blocks are made again.

    Args:
        root: folder of banks.
        faces: pictures of faces, masked or not.
        teacher: what embeds them.
        batch: faces a teacher call (twice as many images).
        dtype: "float32" or "float16" on disk.
        progress: show a bar.
    Raises:
        KitError: a face that cannot be read, or a teacher that gives what is no embedding
            (models/sanity.py).
    """
    table = _table(root, faces, teacher, dtype, batch)
    if table.spans_missing() or table.has_leftovers():
        with Claims(table.folder / CLAIMS) as claims:
            with claims.hold("files", f"prepares {table.folder}"):
                table.prepare()
            try:
                _fill_together(table, faces, teacher, claims, batch=batch, progress=progress)
            finally:
                with claims.hold("files", f"finishes {table.folder}"):
                    table.collect()
    return Bank(table.folder, table.open("r"))


def missing(root: Path, faces: Pictures, teacher: Embedder, dtype: str) -> int:
    """Count the faces that `fill` would still have to embed."""
    spans = _table(root, faces, teacher, dtype, 1).spans_missing()
    return sum(stop - start for start, stop in spans)


def _table(root: Path, faces: Pictures, teacher: Embedder, dtype: str, batch: int) -> Table:
    described = identity.describe(teacher, faces, "beside") | {"dtype": dtype}
    name = f"{teacher.name.replace('/', '-')[:80]}-{identity.digest(described)[:16]}-{dtype}"
    shape = (len(faces), 2, teacher.embedding_size)
    return Table(root / name, described, shape, dtype, SAVE_EVERY * batch)


def _fill_together(
    table: Table,
    faces: Pictures,
    teacher: Embedder,
    claims: Claims,
    *,
    batch: int,
    progress: bool,
) -> None:
    """Fill blocks that nobody has, until all are whole, by whomever."""
    tell_rounding(teacher, len(faces), faces.image, faces.name)
    note = WaitNote(f"fills {table.folder}")
    stage = f"bank: {teacher.name} on {faces.name}"
    done = len(faces) - sum(stop - start for start, stop in table.spans_open())
    with Progress(len(faces), stage, "faces", done=done, shown=progress) as meter:
        while spans := table.spans_open():
            meter.move_to(len(faces) - sum(stop - start for start, stop in spans))
            free = _claimed(table, claims, spans)
            if _compute(table, faces, teacher, free, claims, batch=batch, meter=meter):
                note.reset()
            else:
                note.tell(claims.holder(str(spans[0][0])))
                time.sleep(POLL_S)
        meter.move_to(len(faces))


def _claimed(
    table: Table, claims: Claims, spans: list[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Claim one span after the other, and yield those that are this process's to fill."""
    for start, stop in spans:
        if not claims.take(str(start)):
            continue
        if table.is_recorded(start):  # since `spans` were listed
            claims.release(str(start))
            continue
        yield start, stop


def _compute(
    table: Table,
    faces: Pictures,
    teacher: Embedder,
    spans: Iterator[tuple[int, int]],
    claims: Claims,
    *,
    batch: int,
    meter: Progress,
) -> bool:
    """Fill spans as they come; whether there were any."""
    rows = table.open("r+")
    left: dict[tuple[int, int], int] = {}  # rows of each span that are still to come

    def noted() -> Iterator[tuple[int, int]]:
        for span in spans:
            left[span] = span[1] - span[0]
            yield span

    any_span = False
    for start, count, both in embed_pictures(teacher, faces, noted(), batch, mirrored=True):
        any_span = True
        rows[start : start + count] = _cast(teacher.name, both, rows.dtype).swapaxes(0, 1)
        meter.advance(count)
        span = next(span for span in left if span[0] <= start < span[1])
        left[span] -= count
        if not left[span]:
            del left[span]
            rows.flush()
            table.record(*span, rows)
            claims.release(str(span[0]))
    return any_span


def _cast(name: str, both: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return (2, B, D) embeddings as they are stored.

    Raises:
        KitError: float16 cannot hold them.
    """
    with np.errstate(over="ignore"):
        cast = both.astype(dtype).reshape(2, len(both) // 2, -1)
    if not np.isfinite(cast).all():
        raise KitError(
            f"the embeddings of {name} reach {np.abs(both).max():.0f}, float16 holds 65504: use "
            "--bank-dtype float32"
        )
    return cast
