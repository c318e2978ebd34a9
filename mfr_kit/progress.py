"""How far a job is and how long it still takes: a bar on a terminal, elsewhere a line now and
then, and a line of the log files.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from mfr_kit import console

if TYPE_CHECKING:
    from tqdm import tqdm

FIRST_S, EVERY_S = 5, 30  # until the first line without a terminal, and between two of them

T = TypeVar("T")


class Progress:
    """Show how much of a job is done. Close it, or use it as a context.

    Args:
        total: of the job, with what was done before.
        stage: what is done, a word or two.
        unit: what is counted, in the plural.
        done: by an earlier run, which says nothing of the speed.
        shown: whether to say anything; of several ranks one does.
        clock: in seconds.
    """

    def __init__(
        self,
        total: int,
        stage: str,
        unit: str,
        *,
        done: int = 0,
        shown: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.stage, self.unit, self.done = total, stage, unit, done
        self._clock, self._shown = clock, shown
        self._start, self._before = clock(), done
        self._due, self._closed = self._start + FIRST_S, False
        self._told: int | None = None  # how many were done at the last line
        self._figures: dict[str, float] = {}
        self._bar = self._make_bar() if shown else None

    def _make_bar(self) -> "tqdm | None":
        if console.current().quiet or not _takes_bar(console.terminal()):
            return None
        from tqdm import tqdm

        return tqdm(
            total=self.total,
            initial=self.done,
            desc=self.stage,
            unit=f" {self.unit}",
            file=console.terminal(),
            leave=False,
            dynamic_ncols=True,
            mininterval=0.2,
            smoothing=0.05,
        )

    def advance(self, count: int = 1) -> None:
        """Count so many more as done."""
        self.move_to(self.done + count)

    def move_to(self, done: int) -> None:
        """Say how many are done in all; where others worked at them, that counts as speed too."""
        step, self.done = done - self.done, done
        if self._bar is not None:
            self._bar.update(step)
        now = self._clock()
        if self._shown and now >= self._due:
            self._due = now + EVERY_S
            self._tell(now)

    def skip(self, done: int) -> None:
        """Take so many as done that no work was needed for."""
        self._before += done - self.done
        self.done = done
        if self._bar is not None:
            self._bar.initial = self._bar.n = done
            self._bar.refresh()

    def note(self, figures: dict[str, float]) -> None:
        """Show some figures beside it."""
        self._figures = figures
        if self._bar is not None:
            texts = {name: f"{value:.4g}" for name, value in figures.items()}
            self._bar.set_postfix(texts, refresh=False)

    def say(self, text: str, tell: Callable[[str], None] = print) -> None:
        """Print a line above it, or have it told."""
        if not self._shown or console.current().quiet:
            return
        if self._bar is not None:
            self._bar.clear()
        tell(text)
        sys.stdout.flush()
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        """Take the bar away; of a job with lines say how it ended."""
        if self._closed:
            return
        self._closed = True
        if self._bar is not None:
            self._bar.close()
        if self._told not in (None, self.done):
            self._tell(self._clock())

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest takes at the speed so far; None as long as nothing says."""
        return self._speed(self._clock())[1]

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _tell(self, now: float) -> None:
        self._told = self.done
        rate, left_s = self._speed(now)
        shown = console.current()
        text = self._line(rate, left_s)
        if self._bar is None and not shown.quiet:
            print(text, file=console.terminal(), flush=True)
        content: dict[str, Any] = {"stage": self.stage, "done": self.done, "total": self.total}
        content |= {"unit": self.unit, "rate_per_s": rate, "left_s": left_s}
        shown.record("progress", text=text, **content, figures=self._figures)

    def _speed(self, now: float) -> tuple[float, float | None]:
        """Units a second, and the seconds left; None as long as nothing says."""
        rate = (self.done - self._before) / max(now - self._start, 1e-9)
        return rate, max(self.total - self.done, 0) / rate if rate > 0 else None

    def _line(self, rate: float, left_s: float | None) -> str:
        share = f"{100 * self.done / self.total:.0f} %" if self.total else "100 %"
        parts = [f"{self.stage}: {self.done:,} of {self.total:,} {self.unit} ({share})"]
        if rate > 0:
            parts.append(f"{rate:.3g} {self.unit}/s" if rate >= 1 else f"{1 / rate:.3g} s each")
        if self.done < self.total:
            parts.append("time left unknown" if left_s is None else f"{duration(left_s)} left")
        return ", ".join(parts + [f"{name} {value:.4g}" for name, value in self._figures.items()])


def _takes_bar(stream: TextIO) -> bool:
    """Whether something can be drawn over: on a terminal that has a size, as containers' and
    `script`'s have not always.
    """
    if not stream.isatty():
        return False
    try:
        return os.get_terminal_size(stream.fileno()).lines > 0
    except OSError:
        return True


def step_through(items: Sequence[T], stage: str, unit: str, *, shown: bool = True) -> Iterator[T]:
    """Yield the items of a job and show how many are done."""
    with Progress(len(items), stage, unit, shown=shown) as progress:
        for item in items:
            yield item
            progress.advance()


def duration(seconds: float) -> str:
    """Say a time: `41 s`, `3 min 20 s`, `2 h 05 min`.

    >>> duration(200)
    '3 min 20 s'
    """
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
