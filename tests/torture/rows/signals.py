"""A command gets SIGINT or SIGTERM at a random moment, as a terminal (all of its group) or a
scheduler sends it; by the clock, or before one of the times that it touches a file of its own. It
has to end with 130, no traceback, and the line of the command that goes on; that one has to end
well, with what an undisturbed command writes.
"""

import contextlib
import os
import random
import shlex
import signal
from pathlib import Path

from tests.torture.commands import COMMANDS, lay_out, make_inputs
from tests.torture.launch import Running, SelfKill
from tests.torture.outcome import Outcome
from tests.torture.whole import LIMIT_S, differences, whole

TITLE = "SIGINT and SIGTERM"
WANTED = "60 signals, exit code 130, one line, resumed to equal output"
ROUNDS, SHORT = 60, 1
NAMES = [
    "convert rec",
    "convert folder",
    "distill",
    "evaluate",
    "augment folder",
    "ablate",
    "augment rec",
    "distill workers",
]
GOES_ON = "To go on: `python kit.py "


def prepare(shared: Path) -> None:
    """Make the inputs; each command's undisturbed output is made when it is first needed."""
    make_inputs(shared / "inputs")


def attempt(number: int, shared: Path, folder: Path) -> Outcome:
    """Send one signal, and run the command that is printed."""
    rng, outcome = random.Random(number), Outcome()
    name = NAMES[number % len(NAMES)]
    wanted, about = whole(name, shared)
    work = lay_out(shared / "inputs", folder / "work")
    sign, everybody = rng.choice([signal.SIGINT, signal.SIGTERM]), rng.random() < 0.5
    touch, after_s = rng.randint(1, about["touches"]), rng.uniform(0, about["seconds"])
    inside = rng.random() < 0.5
    running = Running(COMMANDS[name], work, SelfKill(touch, everybody, sign) if inside else None)
    try:
        if not inside:
            running.wait_begun(LIMIT_S)
            if running.wait(after_s) is None:
                with contextlib.suppress(ProcessLookupError):
                    (os.killpg if everybody else os.kill)(running.pid, sign)
        code = running.wait(LIMIT_S)
        outcome.trials[f"{name}: {sign.name}" if code else f"{name}: ended before"] += 1
        notes = [] if code == 0 else _look(running, code)
        outcome.measure("last orphan s", running.orphans(2.0)[0])
    finally:
        running.end()
    if code == 130 and not notes:
        notes += _go_on(running.said(), work, wanted)
    notes += differences(work, wanted)
    moment = f"touch {touch}" if inside else f"{after_s:.2f} s"
    to = "all" if everybody else "itself"
    outcome.wrong += [f"{name}, {sign.name} to {to} at {moment}: {note}" for note in notes]
    return outcome


def _look(running: Running, code: int | None) -> list[str]:
    """Say what is wrong with how it ended."""
    said = running.said()
    notes = [] if code == 130 else [f"exit code {code}: {said[-300:]!r}"]
    if running.traceback():
        notes.append(f"traceback: {running.traceback()!r}")
    if code == 130 and said.count(GOES_ON) != 1:
        notes.append(f"no line, or several, of how to go on: {said[-300:]!r}")
    return notes


def _go_on(said: str, work: Path, wanted: Path) -> list[str]:
    """Run the command that was printed."""
    words = shlex.split(said.split(GOES_ON)[1].partition("`")[0])
    again = Running(words, work)
    try:
        code = again.wait(LIMIT_S)
    finally:
        again.end()
    if code == 0 or ("exists already" in again.said() and not differences(work, wanted)):
        return []
    return [f"{' '.join(words)}: {code}, {again.said()[-300:]!r}"]
