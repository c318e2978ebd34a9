"""`augment` and `distill` in a loop in one process, for about six hours: whether memory grows. What
lies in caches that have a limit is dropped after each loop, since filling them is no leak; what
lies in one without a limit counts. The slope is that of a line through the memory after each loop
but those of the first quarter of an hour; the steepest of all times is kept. Run by hand:
`python -m tests.torture soak`.
"""

import contextlib
import functools
import gc
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np

from mfr_kit import assets, cli
from tests.torture.outcome import Outcome

TITLE = "augment and distill in a loop (by hand)"
WANTED = "memory slope <= 1 MiB/h"
ROUNDS, SHORT = 4000, 1
MOST_MIB_H = 1.0
WARM_S, LEAST_S = 900.0, 2700.0  # not looked at; what a line is fitted through, at the least
PEOPLE = 3


def prepare(shared: Path) -> None:
    """Make the photographs, and a run to be the teacher."""
    from tests.submission.conftest import write_run

    for person in range(1, PEOPLE + 1):
        (shared / "photos" / f"s{person}").mkdir(parents=True)
        for take in (1, 2):
            source = assets.path("orl-faces") / f"s{person}" / f"{take}.pgm"
            shutil.copy(source, shared / "photos" / f"s{person}")
    write_run(shared / "teacher", embedding_size=16, width=0.125)


def attempt(number: int, shared: Path, folder: Path) -> Outcome:
    """Make a set and train on it for some steps, and look at this process's memory."""
    outcome = Outcome()
    faces = folder / "set"
    augment = ["augment", shared / "photos", faces, "--workers", 0, "--ratio", 0.5]
    distill = ["distill", "--data", faces, "--out", folder / "run", "--teacher", shared / "teacher"]
    distill += ["--width", 0.125, "--steps", 2, "--batch-size", 4, "--workers", 0]
    for words in ([*augment, "--seed", number], [*distill, "--seed", number]):
        code = _run(folder / "said", *map(str, words))
        outcome.trials[words[0]] += 1
        if code:
            outcome.wrong.append(f"{words[0]}: {code}, {(folder / 'said').read_text()[-300:]!r}")
    _drop_what_has_a_limit()
    points = _remember(shared / "memory.jsonl")
    slope = slope_mib_h(points)
    outcome.measure("MiB", points[-1][1])
    if slope is not None:
        outcome.measure("slope MiB/h", slope)
        outcome.wrong += [f"grows by {slope:.2f} MiB/h"] if slope > MOST_MIB_H else []
    return outcome


def slope_mib_h(points: list[tuple[float, float]]) -> float | None:
    """Fit the growth of (seconds, MiB) after `WARM_S`; None before `LEAST_S` of it."""
    seconds, mib = np.array(points).reshape(-1, 2).T
    warm = seconds >= seconds[:1] + WARM_S
    if not warm.any() or np.ptp(seconds[warm]) < LEAST_S:
        return None
    return float(np.polyfit(seconds[warm] / 3600, mib[warm], 1)[0])


def _drop_what_has_a_limit() -> None:
    caches = (one for one in gc.get_objects() if type(one) is functools._lru_cache_wrapper)
    for cache in caches:
        if cache.cache_parameters()["maxsize"] is not None:
            cache.cache_clear()


def _run(said: Path, *words: str) -> int:
    with (
        said.open("w") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        return cli.main(list(words))


def _remember(path: Path) -> list[tuple[float, float]]:
    """Add this moment to a file; returns the seconds and MiB of this process so far."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    mib = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    with path.open("a") as file:
        file.write(json.dumps([os.getpid(), time.monotonic(), mib]) + "\n")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(seconds, size) for pid, seconds, size in lines if pid == os.getpid()]
