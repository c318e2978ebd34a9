"""Fuzzing in child processes of limited memory and time, for readers that end in other people's
compiled code.

A child that dies tells which input it had begun; the parent notes it and goes on behind it.
"""

import contextlib
import io
import os
import random
import resource
import select
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from mfr_kit.errors import KitError

SECONDS, MEMORY, PART = 30, 8 << 30, 50
Mutate = Callable[[bytes, random.Random], bytes]
Read = Callable[[Path, int], None]  # a file and the number of the input


def main(
    given: list[str],
    count: int,
    keep: str,
    seeds: Callable[[Path], list[bytes]],
    mutate: Mutate,
    read: Read,
) -> int:
    """Run `[INPUTS] [SEED] [FOLDER]` of a command line; 1 where an input went wrong."""
    count, seed = int(given[0]) if given else count, int(given[1]) if len(given) > 1 else 1
    folder, start = Path(given[2] if len(given) > 2 else keep), time.monotonic()
    totals = fuzz(count, seed, folder, seeds, mutate, read)
    shown = ", ".join(f"{number} {kind}" for kind, number in sorted(totals.items()))
    print(f"{count} inputs, seed {seed}: {shown}; {time.monotonic() - start:.0f} s")
    return int(any(kind.startswith("WRONG") for kind in totals))


def fuzz(
    count: int,
    seed: int,
    keep: Path,
    seeds: Callable[[Path], list[bytes]],
    mutate: Mutate,
    read: Read,
) -> dict[str, int]:
    """Read mutated inputs; returns how often what came of it. What went wrong or crashed stays
    in `keep`.
    """
    draw, totals = random.Random(seed), {}
    with tempfile.TemporaryDirectory() as scratch:
        originals = seeds(Path(scratch))
        waiting = {number: mutate(draw.choice(originals), draw) for number in range(count)}
        while waiting:
            part = dict(list(waiting.items())[:PART])
            for number, outcome in _run(part, Path(scratch) / "input", read).items():
                kind = outcome.split(":")[0]
                totals[kind] = totals.get(kind, 0) + 1
                if outcome.startswith(("WRONG", "crash")):
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{seed}-{number}").write_bytes(part[number])
                    print(f"input {number}: {outcome}", flush=True)
                del waiting[number]
    return totals


def _run(inputs: dict[int, bytes], path: Path, read: Read) -> dict[int, str]:
    """Read inputs in a child; returns outcomes by number, up to the one that ended the child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        for output in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), output)
        signal.signal(signal.SIGALRM, _stop)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number, data in inputs.items():
            path.write_bytes(data)
            os.write(writing, f"{number} begun\n".encode())
            os.write(writing, f"{number} {_outcome(path, number, read)}\n".encode())
        os._exit(0)
    os.close(writing)
    said, hung = b"", False
    while True:
        ready = select.select([reading], [], [], SECONDS + 15)[0]
        if not ready:  # the alarm did not reach it: it hangs in compiled code
            hung = True
            os.kill(child, signal.SIGKILL)
            break
        block = os.read(reading, 1 << 16)
        if not block:
            break
        said += block
    os.close(reading)
    died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    lines = [line.split(" ", 1) for line in said.decode().splitlines()]
    outcomes = {int(number): outcome for number, outcome in lines}
    ended = "WRONG hang" if hung else f"crash {died}"
    return {
        number: ended if outcome == "begun" else outcome for number, outcome in outcomes.items()
    }


def _outcome(path: Path, number: int, read: Read) -> str:
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            read(path, number)
    except KitError:
        return "refused"
    except MemoryError:
        return "memory"
    except BaseException as error:  # noqa: BLE001 - any other exception is what these scripts look for
        last = traceback.extract_tb(error.__traceback__)[-1]
        told = " ".join(str(error).split())[:300]
        return f"WRONG {type(error).__name__}: {told} ({Path(last.filename).name}:{last.lineno})"
    finally:
        signal.alarm(0)
    return "read"


def _stop(*_) -> None:
    raise TimeoutError(f"over {SECONDS} s")
