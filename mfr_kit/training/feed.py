"""Batches of views with their targets and partners, which are read from the bank on a thread of
their own while the student is at the step before.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from mfr_kit.training.prepare import Relations
from mfr_kit.training.settings import Targets
from mfr_kit.training.views.loader import ViewBatch, next_batch


@dataclass(frozen=True)
class Feed:
    """What a rank's part of a batch is made of. What was read waits in memory; a call puts it on
    the device.
    """

    views: ViewBatch
    targets: Callable[[], Tensor] | None  # (B, D); None where no bank gives them
    partners: Callable[[], Tensor] | None  # (B, K, D); None where the student's embeddings decide


@dataclass(frozen=True)
class Feeder:
    """Read what the bank says of batches."""

    relations: Relations
    targets: Targets
    device: torch.device

    def read(self, views: ViewBatch) -> Feed:
        """Read the rows of one batch."""
        partners = self.relations.partners
        return Feed(
            views,
            self._targets(views),
            None if partners is None else partners.ahead(self.device, views.epochs, views.indices),
        )

    def _targets(self, views: ViewBatch) -> Callable[[], Tensor] | None:
        bank = self.relations.bank
        if bank is None or self.targets.view == "same":
            return None
        if self.targets.form == "sum":
            return bank.fetch_sums(self.device, views.indices)
        return bank.fetch(self.device, views.indices, views.mirrored)

    def ahead(self, views: Iterator[ViewBatch], depth: int) -> Iterator[Feed]:
        """Yield the batches in their order, `depth` more of them being read meanwhile.

        Args:
            views: taken from on the thread that asks for a batch.
            depth: the batches of a step.
        Raises:
            KitError: from a loader process, as it was raised there.
        """
        waiting: deque[Future[Feed]] = deque()
        with ThreadPoolExecutor(1, "bank") as pool:
            for batch in iter(lambda: next_batch(views), None):
                waiting.append(pool.submit(self.read, batch))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
