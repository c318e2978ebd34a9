"""`kit.py watch`: the last lines of a run's metrics.jsonl in words."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mfr_kit.errors import KitError
from mfr_kit.models.run_files import CONFIG, METRICS, STUDENT, read_metrics
from mfr_kit.options import option, options_class
from mfr_kit.progress import duration

POLL_S = 2.0


@options_class
class WatchOptions:
    """Which run, and how much of it."""

    run: Path = option(help="Folder of a run of distill.", affects="place", argument=True)
    lines: int = option(10, help="Lines to print.", within=">=1")
    follow: bool = option(
        False, help="Print new lines as they come, until the run is done or Ctrl-C."
    )


def watch(options: WatchOptions, wait: Callable[[float], None] = time.sleep) -> Iterator[str]:
    """Yield the last lines of a run, and with `follow` those that come.

    Raises:
        KitError: no run of distill is there, or its metrics.jsonl is damaged.
    """
    folder = options.run
    if not (folder / CONFIG).is_file():
        raise KitError(
            f"{folder}: no run of `kit.py distill` is there ({CONFIG} is missing): give the "
            "folder that --out named"
        )
    done = (folder / STUDENT).is_file()  # before its lines are read: none comes after
    lines = read_metrics(folder)
    yield from map(describe, lines[-options.lines :])
    while options.follow and not done:
        wait(POLL_S)
        seen, done = len(lines), (folder / STUDENT).is_file()
        lines = read_metrics(folder)
        yield from map(describe, lines[min(seen, len(lines)) :])
    yield state_of(folder, lines)


def describe(line: dict) -> str:
    """Say one line of metrics.jsonl in words."""
    total = line.get("steps")
    step = f"step {line['step']:,}" + (f" of {total:,}" if isinstance(total, int) else "")
    if "loss" not in line:
        figures = line.get("validation") or line.get("kept")
        what = "kept" if "kept" in line else "validation"
        named = [
            f"{name} {_shown(value)}"
            for name, value in (figures if isinstance(figures, dict) else {}).items()
            if name in ("masked", "clean", "score", "far")
        ]
        return f"{step}: {what} {', '.join(named)}"
    parts = [f"loss {_shown(line['loss'])}"]
    terms = line.get("terms")
    if isinstance(terms, dict) and len(terms) > 1:
        parts += [f"{name} {_shown(value)}" for name, value in terms.items()]
    for name, unit in (("learning_rate", "learning rate {}"), ("images_per_s", "{} faces/s")):
        if name in line:
            parts.append(unit.format(_shown(line[name])))
    if isinstance(line.get("left_s"), int | float):
        parts.append(f"{duration(line['left_s'])} left")
    return f"{step}: {', '.join(parts)}"


def state_of(folder: Path, lines: list[dict]) -> str:
    """Say whether a run is done, and how old its last line is."""
    if (folder / STUDENT).is_file():
        return f"{folder}: done, {folder / STUDENT} is written"
    if not lines:
        return f"{folder}: no step yet (it embeds faces or finds partners first)"
    age = duration(time.time() - (folder / METRICS).stat().st_mtime)
    return f"{folder}: not done; its last line is {age} old"


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
