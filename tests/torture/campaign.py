"""Run rows of the campaign round by round, and keep what they gave.

A row is a module of `rows/`: TITLE and WANTED, a line each for the page; ROUNDS, how many the
campaign has, and SHORT, how many the tests; `prepare(shared)` makes in an empty folder what all
rounds compare with; `attempt(number, shared, folder)` is one round, seeded by its number, in an
empty folder of its own, and returns an Outcome. A round that raises is noted as wrong, and the
next one goes on.
"""

import contextlib
import importlib
import json
import multiprocessing
import os
import pkgutil
import shutil
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from mfr_kit import files, interrupts
from tests.torture import rows
from tests.torture.outcome import Outcome

SAVE_S = 5.0  # how often a row's figures are written while it runs


class Row(Protocol):
    """What a module of `rows/` has."""

    TITLE: str
    WANTED: str
    ROUNDS: int
    SHORT: int

    def prepare(self, shared: Path) -> None: ...

    def attempt(self, number: int, shared: Path, folder: Path) -> Outcome: ...


def names() -> list[str]:
    """List all rows by name."""
    return sorted(module.name for module in pkgutil.iter_modules(rows.__path__))


def load(name: str) -> Row:
    """Import a row."""
    return importlib.import_module(f"{rows.__name__}.{name}")


def shared_folder(row: Row, folder: Path) -> Path:
    """Return what all rounds of a row compare with, made if it is not there whole."""
    shared = folder / "shared"
    if not shared.is_dir():
        making = folder / "shared.part"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        row.prepare(making)
        making.rename(shared)
    return shared


def attempts(row: Row, numbers: Sequence[int], folder: Path) -> Iterator[Outcome]:
    """Try some rounds of a row, one after the other, below `folder`."""
    shared = shared_folder(row, folder)
    for number in numbers:
        own = folder / f"round-{number}"
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()
        try:
            outcome = row.attempt(number, shared, own)
        except Exception as error:  # noqa: BLE001  the round is at fault, and is told
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(frame.filename).name}:{frame.lineno}"
            outcome = Outcome(wrong=[f"{type(error).__name__} at {place}: {str(error)[:300]}"])
        outcome.wrong = [f"round {number}: {note}" for note in outcome.wrong]
        if not outcome.wrong:
            shutil.rmtree(own, ignore_errors=True)  # what went wrong stays to be looked at
        yield outcome


def work_at(name: str, record: dict[str, Any], part: Path, folder: Path) -> None:
    """Do what is missing of a row, and keep its record in `part`."""
    row = load(name)
    total, began, saved = Outcome.from_json(record), time.monotonic(), time.monotonic()
    before, done = record["seconds"], record["rounds"]

    def save() -> None:
        seconds = round(before + time.monotonic() - began, 1)
        kept = {**record, "rounds": done, "seconds": seconds, **total.to_json()}
        files.write_json(part, kept)

    for outcome in attempts(row, range(done, row.ROUNDS), folder):
        total.add(outcome)
        done += 1
        if outcome.wrong:
            print(f"{name}: {outcome.wrong[0]}", flush=True)
        if time.monotonic() - saved > SAVE_S:
            save()
            saved = time.monotonic()
    save()


def try_again(name: str, record: dict[str, Any], folder: Path, commit: str) -> dict[str, Any]:
    """Try once more what went wrong: what goes well now is kept as mended, with the commit."""
    old = {note: int(note.removeprefix("round ").split(":")[0]) for note in record["wrong"]}
    row, numbers = load(name), sorted(set(old.values()))
    outcomes = zip(numbers, attempts(row, numbers, folder), strict=True)
    wrong = {number: outcome.wrong for number, outcome in outcomes if outcome.wrong}
    mended = [f"{note} (right at {commit})" for note in old if old[note] not in wrong]
    still = [note for notes in wrong.values() for note in notes]
    return {**record, "wrong": still, "mended": [*record.get("mended", []), *mended]}


def _serve(*given: Any) -> None:
    interrupts.serve_parent()
    work_at(*given)


def run(wanted: Sequence[str], work: Path, out: Path, jobs: int, commit: str) -> dict[str, Any]:
    """Do what is missing of some rows, `jobs` at a time, each in a process of its own.

    Args:
        wanted: names of rows.
        work: where they work; what went wrong stays there.
        out: the records of all rows, a JSON; it is renewed as they go on.
        jobs: how many rows at a time.
        commit: what the rounds of this call ran.
    Returns:
        The records by row.
    """
    work.mkdir(parents=True, exist_ok=True)
    records = read(out)
    waiting, running = list(wanted), {}
    context = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        while waiting or running:
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                record, part = _begun(records.get(name), commit), work / f"{name}.json"
                given = (name, record, part, work / name)
                running[name] = context.Process(target=_serve, args=given)
                running[name].start()
                stack.callback(running[name].terminate)
            time.sleep(0.5)
            for name in list(running):
                part = work / f"{name}.json"
                if part.is_file():
                    records[name] = json.loads(part.read_text())
                if not running[name].is_alive():
                    ended = running.pop(name).exitcode
                    if ended:
                        print(f"{name}: its process ended with {ended}", flush=True)
                    part.unlink(missing_ok=True)
                    print(line(name, records.get(name)), flush=True)
            files.write_json(out, dict(sorted(records.items())))
    return records


def read(out: Path) -> dict[str, Any]:
    """Read the records of all rows."""
    return json.loads(out.read_text()) if out.is_file() else {}


def _begun(record: dict[str, Any] | None, commit: str) -> dict[str, Any]:
    new = {"rounds": 0, "seconds": 0.0, "commits": [], "cores": os.cpu_count()}
    record = record or {**new, **Outcome().to_json()}
    return {**record, "commits": list(dict.fromkeys([*record["commits"], commit]))}


def line(name: str, record: dict[str, Any] | None) -> str:
    """Say in one line how far a row is."""
    if record is None:
        return f"{name}: nothing done"
    rounds, wanted = record["rounds"], load(name).ROUNDS
    trials = sum(record["trials"].values())
    most = "".join(f", {key} {value:.4g}" for key, value in sorted(record["most"].items()))
    return (
        f"{name}: {rounds:,} of {wanted:,} rounds, {trials:,} trials, "
        f"{len(record['wrong'])} wrong{most}; {record['seconds'] / 60:.1f} min"
    )
