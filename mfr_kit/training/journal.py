"""metrics.jsonl, its curves and the progress bar: what a run says while it goes."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mfr_kit.files import attributed_to, sync, write_text
from mfr_kit.models.run_files import METRICS, read_metrics
from mfr_kit.progress import Progress
from mfr_kit.training import run_page
from mfr_kit.training.board import Board


@dataclass(frozen=True)
class Speed:
    """Faces and steps a second, and the share of the time that steps waited for the loader."""

    images_per_s: float
    steps_per_s: float
    waiting: float


class Journal:
    """Append one JSON object a line, and show the last one beside a bar with the time left.

    Args:
        folder: of the run.
        start: the step it begins with; later lines of an interrupted run are dropped, since those
            steps are repeated.
        total: steps in all.
        shown: whether to write and show at all (the first rank does).
        board: where the figures go too.
    """

    def __init__(
        self, folder: Path, start: int, total: int, shown: bool = True, board: Board | None = None
    ):
        self._path, self._shown, self._board = folder / METRICS, shown, board
        self._since, self._images, self._steps, self._waited = time.perf_counter(), 0, 0, 0.0
        self._lines: list[dict] = []
        if shown:
            self._lines = [line for line in read_metrics(folder) if line["step"] <= start]
            write_text(self._path, "".join(json.dumps(line) + "\n" for line in self._lines))
        self._progress = Progress(total, "distil", "steps", done=start, shown=shown)

    def step(self, images: int) -> None:
        """Count one step of so many faces."""
        self._images += images
        self._steps += 1
        self._progress.advance()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of this block as waiting for the loader."""
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    def speed(self) -> Speed:
        """Return what came since the last call."""
        now = time.perf_counter()
        passed = max(now - self._since, 1e-9)
        speed = Speed(self._images / passed, self._steps / passed, self._waited / passed)
        self._since, self._images, self._steps, self._waited = now, 0, 0, 0.0
        return speed

    def write(self, line: dict, shown: dict[str, float]) -> None:
        """Append a line, and put some of its figures beside the bar."""
        if self._shown:
            with attributed_to(self._path), self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            self._lines.append(line)
            if self._board:
                self._board.write(line)
            self._progress.note(shown)

    def keep(self) -> None:
        """Put the lines so far on the disk: call it before a checkpoint stands for their steps."""
        if self._shown:
            with attributed_to(self._path):
                sync(self._path)

    @property
    def total(self) -> int:
        """Steps in all."""
        return self._progress.total

    @property
    def left_s(self) -> float | None:
        """Seconds until the last step, at the speed so far; None before the first."""
        return self._progress.left_s

    def draw(self) -> None:
        """Renew the page of curves."""
        if self._shown:
            run_page.write_page(self._path.parent, self._lines, self.total)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.say(text)

    def close(self) -> None:
        """Finish the bar and the event file."""
        self._progress.close()
        if self._board:
            self._board.close()


@contextlib.contextmanager
def open_journal(
    folder: Path, start: int, total: int, *, shown: bool = True, board: bool = False
) -> Iterator[Journal]:
    """Open the journal of a run and finish it however the run ends.

    Args:
        folder: of the run.
        start: the step it begins with.
        total: steps in all.
        shown: whether to write and show at all.
        board: whether the figures go to TensorBoard too, into the folder `tensorboard`.
    Raises:
        KitError: tensorboard is not installed.
    """
    writer = Board(folder / "tensorboard", start) if board and shown else None
    journal = Journal(folder, start, total, shown, writer)
    try:
        yield journal
    finally:
        journal.close()
