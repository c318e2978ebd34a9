"""Who is hard for whom: class prototypes, each identity's nearest other identities, and the
partners a sample is related to.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mfr_kit.data.face_set.codes import count, is_sorted
from mfr_kit.errors import KitError
from mfr_kit.losses._batch import unit
from mfr_kit.losses._shards import ClassShard, nearest_of_all
from mfr_kit.models.placement import pin, send
from mfr_kit.models.stored import StoredArray
from mfr_kit.progress import step_through
from mfr_kit.seeding import uniform
from mfr_kit.training.teacher import approximate, blocks
from mfr_kit.training.teacher.bank import Bank

BLOCK_LABELS = 1 << 20  # labels hashed at a time
# keeps the draw of partners apart from the draw of the view, which has the same (seed, epoch,
# index)
PARTNER_STREAM = 1


def stored_prototypes(bank: Bank, labels: np.ndarray) -> Tensor:
    """Return what `prototypes` gives, computed by one of the processes that share a bank, and kept
    beside it.
    """
    described = {"bank": bank.folder.name, "labels": _digest(labels)}
    kept = StoredArray(bank.folder / f"prototypes-{described['labels'][:16]}.npy", described)
    task = "averages the bank into prototypes"
    return torch.from_numpy(kept.obtain(task, lambda: prototypes(bank, labels).numpy()))


def _digest(labels: np.ndarray) -> str:
    """Hash labels as int64, whatever they are, a part at a time."""
    digest = hashlib.blake2b()
    for start in range(0, len(labels), BLOCK_LABELS):
        digest.update(labels[start : start + BLOCK_LABELS].astype(np.int64).data)
    return digest.hexdigest()


def prototypes(bank: Bank, labels: np.ndarray, block: int = 8192) -> Tensor:
    """Average the normalised teacher embeddings of every identity, streaming the bank.

    Args:
        bank: its unmirrored embeddings are used.
        labels: (N,) identities 0 .. C-1, each with at least one face.
        block: rows read at a time.
    Returns:
        (C, D) float32 with unit rows.
    Source: docs/reference/method.md, equation 2.
    """
    sums = torch.zeros(int(labels.max()) + 1, bank.embeddings.shape[2])
    for start in range(0, len(labels), block):
        rows = np.arange(start, min(start + block, len(labels)))
        sums.index_add_(0, torch.from_numpy(labels[rows]), unit(torch.from_numpy(bank.rows(rows))))
    return unit(sums)


def nearest(prototypes: Tensor, count: int, *, progress: bool = False) -> Tensor:
    """Find every identity's `count` nearest other identities, exactly, in row blocks; the C x C
    similarities are never stored.

    Args:
        prototypes: (C, D) unit rows, on any device.
        count: K, capped at C - 1.
        progress: show a bar.
    Returns:
        (C, min(K, C - 1)) int32 on the CPU, nearest first.
    """
    classes = len(prototypes)
    count = min(count, classes - 1)
    # on the device till the end: nobody waits for a block
    found = torch.empty(classes, count, dtype=torch.int32, device=prototypes.device)
    step = min(classes, blocks.rows_of_a_block(prototypes))
    block = torch.empty(step, classes, device=prototypes.device)
    starts = range(0, classes, step)
    for start in step_through(starts, "mining partners", "blocks", shown=progress):
        rows = torch.arange(start, min(start + step, classes), device=prototypes.device)
        similarity = torch.mm(
            prototypes[start : start + step], prototypes.T, out=block[: len(rows)]
        )
        similarity[torch.arange(len(rows), device=rows.device), rows] = -torch.inf
        found[start : start + len(rows)] = blocks.largest(similarity, count).to(torch.int32)
    return found.cpu()


def cached_nearest(bank: Bank, prototypes: Tensor, count: int, search: str = "exact") -> Tensor:
    """Like `nearest` or `approximate.nearest`, kept beside the bank it follows from."""
    path = (
        bank.folder
        / f"partners-{count}-of-{len(prototypes)}{'' if search == 'exact' else '-' + search}.npy"
    )
    rows = np.ascontiguousarray(prototypes.cpu().numpy())
    described = {
        "prototypes": hashlib.blake2b(rows.data).hexdigest(),
        "count": count,
        "search": search,
    }

    def find() -> np.ndarray:
        if search == "exact":
            return nearest(prototypes, count, progress=True).numpy()
        return approximate.nearest(prototypes, count).numpy()

    return torch.from_numpy(StoredArray(path, described).obtain("mines partners", find))


@dataclass(frozen=True)
class Draw:
    """How partners are chosen: `kind` "image" or "prototype", `mining` "teacher", "student" or
    "both", K = `count`.

    `search` "exact" or "faiss" is for the teacher's side, found once.
    """

    kind: str
    mining: str
    count: int
    seed: int
    search: str = "exact"


class Partners:
    """Give each sample of a batch the teacher-side embeddings of K other identities.

    Args:
        bank: the teacher's embeddings.
        labels: (N,) identity 0 .. C-1 of each row of the bank.
        prototypes: (C, D) unit rows, on the training device.
        draw: how.
        shard: of the classes whose prototypes this rank keeps; None for all.
    Raises:
        KitError: a rank is to keep some of the prototypes, and partners are prototypes.
    Source: docs/reference/method.md, 2 and 3. The student's neighbours are searched for with
        the student of this very step, which is exact where a search once an epoch would be stale,
        and leaves nothing to keep in a checkpoint.
    """

    def __init__(
        self,
        bank: Bank,
        labels: np.ndarray,
        prototypes: Tensor,
        draw: Draw,
        shard: ClassShard | None = None,
    ):
        if shard is not None and draw.kind == "prototype":
            raise KitError(
                "--head sharded: --partners prototype looks at prototypes of all people; use "
                "--partners image, or --head whole"
            )
        self._bank, self._draw = bank, draw
        self._shard = shard or ClassShard(len(prototypes))
        self._labels = labels
        # None: people stand together, in the order of their names
        self._order = None if is_sorted(labels) else np.argsort(labels, kind="stable")
        self._starts = np.append(0, np.cumsum(count(labels, len(prototypes))))
        self.count = min(draw.count, len(prototypes) - 1)
        self._teacher_side = (
            None
            if draw.mining == "student"
            else cached_nearest(bank, prototypes, self.count, draw.search)
        )
        own = prototypes[self._shard.start : self._shard.stop]
        self.prototypes = own if shard is None else own.clone()

    def of(
        self, student: Tensor, labels: Tensor, epochs: np.ndarray, indices: np.ndarray
    ) -> Tensor:
        """Return (B, K, D) partners of a batch; the same for the same (epoch, index) and
        neighbours, in whatever batch.

        Args:
            student: (B, D) embeddings, for mining by the student's own neighbours.
            labels: (B,) identities.
            epochs: (B,) epoch of each sample.
            indices: (B,) row of each sample in the bank.
        """
        known = self.ahead(student.device, epochs, indices)
        if known is not None:
            return known()
        identities = self.identities(student.detach(), labels)
        return self._fetch(student.device, identities, epochs, indices)()

    def ahead(
        self, device: torch.device, epochs: np.ndarray, indices: np.ndarray
    ) -> Callable[[], Tensor] | None:
        """Read, on the calling thread, the partners of a batch that no student has seen yet; a call
        of what is returned puts them on the device. None where the student's neighbours are mined.
        """
        if self._draw.mining != "teacher":
            return None
        assert self._teacher_side is not None  # mined for this
        return self._fetch(device, self._teacher_side[self._labels[indices]], epochs, indices)

    def _fetch(
        self, device: torch.device, identities: Tensor, epochs: np.ndarray, indices: np.ndarray
    ) -> Callable[[], Tensor]:
        if self._draw.kind == "prototype":
            there = pin(identities, device)
            return lambda: self.prototypes[send(there, self.prototypes.device)]
        rows = self._images(identities.cpu().numpy(), epochs, indices)
        read = self._bank.fetch(device, rows.ravel())
        return lambda: read().view(*rows.shape, -1)

    def identities(self, student: Tensor, labels: Tensor) -> Tensor:
        """Return (B, K) int64 identities, never the sample's own and never one twice."""
        if self._draw.mining == "student":
            return self._nearest_to(student, labels.unsqueeze(1), self.count)
        assert self._teacher_side is not None  # only the student's own mining goes without
        mined = self._teacher_side[labels.cpu().numpy()].to(student.device, torch.int64)
        if self._draw.mining == "teacher":
            return mined
        mined = mined[:, : (self.count + 1) // 2]
        return torch.cat(
            [
                mined,
                self._nearest_to(
                    student, torch.cat([labels.unsqueeze(1), mined], 1), self.count // 2
                ),
            ],
            dim=1,
        )

    def _nearest_to(self, student: Tensor, taken: Tensor, count: int) -> Tensor:
        """Return the `count` identities nearest to each sample, but those that are taken."""
        points = unit(student.detach().float())

        def find(points: Tensor, taken: Tensor) -> tuple[Tensor, Tensor]:
            return blocks.nearest_untaken(points, self.prototypes, taken, count, self._shard.start)

        return nearest_of_all(points, taken, find, self._shard)

    def _images(
        self, identities: np.ndarray, epochs: np.ndarray, indices: np.ndarray
    ) -> np.ndarray:
        draws = uniform((self._draw.seed, PARTNER_STREAM), epochs, indices, identities.shape[1])
        first = self._starts[identities]
        counts = self._starts[identities + 1] - first
        rows = first + (draws * counts).astype(np.int64)
        return rows if self._order is None else self._order[rows]


def cache_root(out: Path, bank: Path | None) -> Path:
    """Say where a run's banks lie."""
    return out / "bank" if bank is None else bank
