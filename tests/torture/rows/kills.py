"""A command is killed (SIGKILL) at a random moment: itself, one of its workers, or its whole
process group; by the clock, or before one of the times that it touches a file of its own, which is
inside its saves. What it had started has to go by itself; the same command again has to end well,
with what an undisturbed one writes, and with nothing beside it.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.torture.commands import COMMANDS, lay_out, make_inputs
from tests.torture.launch import Running, SelfKill
from tests.torture.outcome import Outcome
from tests.torture.whole import LIMIT_S, differences, whole

TITLE = "kill -9 of a command, a worker, everything"
WANTED = "300 kills, equal output, no orphan after 2 s, nothing left"
ROUNDS, SHORT = 300, 7  # in short: convert, augment, distill, evaluate, export-onnx
GRACE_S = 2.0  # for what a killed command has started
YARDSTICK = "import torch"  # takes about as long as a worker until it hears of its parent
TRIES = 3


def prepare(shared: Path) -> None:
    """Make the inputs; each command's undisturbed output is made when it is first needed."""
    make_inputs(shared / "inputs")


def attempt(number: int, shared: Path, folder: Path) -> Outcome:
    """Kill one command once, and run it again."""
    names, rng, outcome = list(COMMANDS), random.Random(number), Outcome()
    name = names[number % len(names)]
    wanted, about = whole(name, shared)
    work = lay_out(shared / "inputs", folder / "work")
    ways = ["itself", "worker", "everything", "itself inside", "everything inside"]
    touches = about["touches"]  # none by a torchrun, whose ranks they are
    way, touch = rng.choice(ways if touches else ways[:3]), rng.randint(1, max(1, touches))
    inside = SelfKill(touch, way.startswith("everything")) if way.endswith("inside") else None
    running = Running(COMMANDS[name], work, inside)
    try:
        moment = f"touch {touch}"
        if inside is None:
            after_s = rng.uniform(0, about["seconds"])
            moment = f"{after_s:.2f} s"
            way = _kill(running, way, after_s, rng)
        outcome.trials[f"{name}: {way}"] += 1
        notes = _look(running, outcome)
    finally:
        running.end()
    if running.process.exitcode != 0:
        notes += _go_on(name, work, wanted)
    notes += differences(work, wanted)
    outcome.wrong += [f"{name}, {way} killed at {moment}: {note}" for note in notes]
    return outcome


def _kill(running: Running, way: str, after_s: float, rng: random.Random) -> str:
    """Kill after so many seconds, if it still runs; a command without workers is killed itself."""
    if running.wait(after_s) is not None:
        return "nothing"
    with contextlib.suppress(ProcessLookupError):
        if way == "everything":
            os.killpg(running.pid, signal.SIGKILL)
        elif way == "worker" and (workers := running.workers()):
            os.kill(rng.choice(workers), signal.SIGKILL)
        else:
            os.kill(running.pid, signal.SIGKILL)
            return "itself"
    return way


def _look(running: Running, outcome: Outcome) -> list[str]:
    """Say what is wrong with how it ended: not at all, with a traceback, or leaving orphans."""
    began = time.monotonic()
    if running.wait(LIMIT_S) is None:
        return [f"still runs after {LIMIT_S:g} s"]
    outcome.measure("slowest end s", time.monotonic() - began)
    took, left = running.orphans(GRACE_S)
    if left:  # a busy machine may need longer for the last thing a process does
        subprocess.run([sys.executable, "-c", YARDSTICK], check=True)
        more, left = running.orphans(0)
        took += more
    outcome.measure("last orphan s", took)
    notes = [f"process {pid} still lives: {_line_of(pid)}" for pid in left]
    if running.traceback():
        notes.append(f"traceback: {running.traceback()!r}")
    return notes


def _go_on(name: str, work: Path, wanted: Path) -> list[str]:
    """Run the command again until it ends well, or says that all it makes is there."""
    for _ in range(TRIES):
        again = Running(COMMANDS[name], work)
        try:
            code = again.wait(LIMIT_S)
            is_there = "exists already" in again.said() and not differences(work, wanted)
            if code == 0 or (code == 2 and is_there):
                return []
        finally:
            again.end()
    return [f"again: {code}, {again.said()[-300:]!r}"]


def _line_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")[:200].decode()
    return "gone now"
