"""metrics.jsonl and the progress bar: what a run says while it goes."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from mfr_kit.files import attributed_to, write_text
from mfr_kit.models.run_files import METRICS, read_metrics
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
        if shown:
            lines = [line for line in read_metrics(folder) if line["step"] <= start]
            write_text(self._path, "".join(json.dumps(line) + "\n" for line in lines))
        self._bar = tqdm(
            total=total,
            initial=start,
            unit=" steps",
            desc="distil",
            disable=not shown,
            dynamic_ncols=True,
        )

    def step(self, images: int) -> None:
        """Count one step of so many faces."""
        self._images += images
        self._steps += 1
        self._bar.update()

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
            if self._board:
                self._board.write(line)
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in shown.items()})

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self._shown:
            self._bar.write(text)

    def close(self) -> None:
        """Finish the bar and the event file."""
        self._bar.close()
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
