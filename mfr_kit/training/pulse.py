"""After which steps a run saves, and whether it stops: the same on all ranks."""

import time

import torch

from mfr_kit.interrupts import StopRequest
from mfr_kit.training.ranks import Ranks
from mfr_kit.training.settings import SaveRule

SHARED = 8  # steps between two times that several ranks ask each other


class Pulse:
    """Says after each step what is due.

    Args:
        ranks: this process among them; each has one and asks it after every step.
        rule: when checkpoints are written.
        request: whether this process has been asked to stop.
    """

    def __init__(self, ranks: Ranks, rule: SaveRule, request: StopRequest) -> None:
        self._ranks, self._rule, self._request = ranks, rule, request
        self._saved = time.monotonic()
        self.stops = False  # a rank was asked to, and all know

    def saves(self, step: int) -> bool:
        """Whether a checkpoint is to be written after a step."""
        due = self._is_due(step)
        self.stops = self._request.asked
        if self._ranks.world > 1:
            due, self.stops = self._share(step, due)
        if due or self.stops:
            self._saved = time.monotonic()
        return due or self.stops

    def _is_due(self, step: int) -> bool:
        if self._rule.steps:
            return step % self._rule.steps == 0
        return time.monotonic() - self._saved > 60 * self._rule.minutes

    def _share(self, step: int, due: bool) -> tuple[bool, bool]:
        """What is due on any rank: clocks and signals are each rank's own, steps are not."""
        if step % SHARED:
            return due and self._rule.steps > 0, False
        mine = torch.tensor([float(due), float(self._request.asked)])
        any_due, any_stop = (self._ranks.mean(mine) > 0).tolist()
        return any_due, any_stop
