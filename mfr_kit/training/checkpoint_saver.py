"""When a run's checkpoint is written, and by whom: last.pt by the first rank, and beside it, where
a head is divided over ranks, its rows by those that hold them, while training goes on.

The rows lie in a folder that torch.distributed.checkpoint writes, named by the step. last.pt names
the folder and is written when that is whole, so both are old or both are new.
"""

import copy
import shutil
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch.distributed as dist

from mfr_kit.errors import KitError
from mfr_kit.training import checkpoint, head_rows, head_shards
from mfr_kit.training.checkpoint import State
from mfr_kit.training.ranks import Ranks
from mfr_kit.training.settings import Division


class CheckpointSaver:
    """Writes the checkpoints of a run; every rank has one and calls all of its methods.

    Args:
        folder: of the run.
        ranks: this process among them.
        division: of the run's batches.
    """

    def __init__(self, folder: Path, ranks: Ranks, division: Division) -> None:
        self._folder, self._ranks, self._division = folder, ranks, division
        self._group: Any = None
        self._begun: tuple[Future, Path, dict[str, Any]] | None = None

    def save(self, state: State) -> None:
        """Write a checkpoint, or begin to; one that was begun before is finished first.

        Raises:
            OSError, KitError: it cannot be written.
        """
        self.finish()
        rows = head_shards.own_rows_of(state) if self._ranks.world > 1 else {}
        if not rows:
            if self._ranks.first:
                checkpoint.save(self._folder, checkpoint.content_of(state, self._division))
            return
        if self._group is None:  # a thread must not come between the step's own exchanges
            self._group = dist.new_group(backend="gloo")
        place = self._folder / f"{head_rows.PREFIX}{state.step:08d}"
        rest = head_shards.without_rows(state)
        content = copy.deepcopy(checkpoint.content_of(state, self._division, rest))
        content[head_rows.NAMED] = place.name
        self._begun = head_rows.begin(place, rows, self._group), place, content

    def poll(self) -> None:
        """Finish a checkpoint whose rows are written by now."""
        if self._begun is not None and self._begun[0].done():
            self.finish()

    def finish(self) -> None:
        """Wait for the rows of a checkpoint that was begun, and give both parts their names."""
        if self._begun is None:
            return
        (future, place, content), self._begun = self._begun, None
        try:
            future.result()
        except BaseException as error:
            if not isinstance(error, (Exception, head_rows.CheckpointException)):
                raise
            raise KitError(f"{place} cannot be written: {head_rows.reason_of(error)}") from None
        if not self._ranks.first:
            return
        head_rows.settle(place)
        checkpoint.save(self._folder, content)
        for old in self._folder.glob(f"{head_rows.PREFIX}*"):
            if old != place and old.is_dir():
                shutil.rmtree(old, ignore_errors=True)
