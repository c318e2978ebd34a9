"""Models, packages, sets and lists that mean harm (tests/hostile_files.py), a file a round."""

import functools
from pathlib import Path

from tests import hostile_files
from tests.torture.outcome import Outcome

TITLE = "hostile models, zips, sets, lists"
WANTED = "200 files, each refused in one line"
ROUNDS, SHORT = 202, 6


@functools.cache
def _files() -> list[hostile_files.Hostile]:
    return list(hostile_files.corpus())


def prepare(shared: Path) -> None:
    """Nothing is shared: each round makes its file."""


def attempt(number: int, shared: Path, folder: Path) -> Outcome:
    """Make and read one file; the first rounds are spread over all kinds."""
    files = _files()
    hostile = files[number * 37 % len(files)]  # 37 and their number have no common divisor
    found, outcome = hostile_files.outcome(hostile, folder), Outcome()
    outcome.trials[hostile.name.split()[0]] += 1
    outcome.wrong += [f"{hostile.name!r}: {found}"] if found else []
    return outcome
