"""Inputs of a fuzzed reader, read in a process of their own that is timed, limited and watched.

A reader has three functions: `make(folder)` writes whole files, `damage(folder, rng)` damages
some and says how, `read(folder)` reads them as commands do. Allowed is content or a KitError of
one line. Processes are forked from one that has imported everything and run nothing.
"""

import contextlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from mfr_kit.errors import KitError
from tests.fuzz_side_files import where
from tests.torture.outcome import Outcome

MOST_S, MOST_MIB = 10, 1024  # of computing for an input; of a process
SILENCE_S = 90  # a process that begins no input for so long hangs where no signal reaches it
ADDRESSES = 16 << 30  # bytes; what asks for more is refused its memory
MODULES = "tests.torture.readers"


class Reader(Protocol):
    """What is fuzzed."""

    def make(self, folder: Path) -> None: ...

    def damage(self, folder: Path, rng: random.Random) -> str: ...

    def read(self, folder: Path) -> None: ...


class Bytes(NamedTuple):
    """A reader of one file whose damage goes from bytes to bytes; `seeds` gives whole files by
    name, `read` takes a path and the number of the input.
    """

    seeds: Callable[[Path], dict[str, bytes]]
    mutate: Callable[[bytes, random.Random], bytes]
    read_file: Callable[[Path, int], Any]

    def make(self, folder: Path) -> None:
        """Write the whole files."""
        for name, data in self.seeds(folder).items():
            (folder / name).write_bytes(data)

    def damage(self, folder: Path, rng: random.Random) -> str:
        """Leave one of the files, damaged."""
        paths = sorted(path for path in folder.iterdir() if path.is_file())
        chosen = rng.choice(paths)
        chosen.write_bytes(self.mutate(chosen.read_bytes(), rng))
        (folder / "input").symlink_to(chosen.name)
        return chosen.name

    def read(self, folder: Path) -> None:
        """Read the damaged one, or all where none is."""
        chosen = folder / "input"
        paths = [chosen.resolve()] if chosen.is_symlink() else sorted(folder.iterdir())
        for path in paths:
            self.read_file(path, path.stat().st_size)


class Pristine:
    """A folder of whole files, and how it becomes whole again; untouched files have the time 0."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(source, folder, symlinks=True)
        found = [path for path in folder.rglob("*") if path.is_file()]
        self.content = {str(path): path.read_bytes() for path in found}
        for path in found:
            os.utime(path, ns=(0, 0))

    def restore(self) -> None:
        """Write again what was changed or is gone, and remove what is new."""
        missing = dict(self.content)
        for parent, folders, files in os.walk(self.folder, topdown=False):
            for name in files:
                path = os.path.join(parent, name)
                if path in missing and not os.lstat(path).st_mtime_ns:
                    del missing[path]
                elif path not in missing or os.path.islink(path):
                    os.unlink(path)
            for name in folders:
                with contextlib.suppress(OSError):  # one of the whole files is below it
                    os.rmdir(os.path.join(parent, name))
        for path, data in missing.items():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            Path(path).write_bytes(data)
            os.utime(path, ns=(0, 0))


def try_inputs(name: str, numbers: range, shared: Path, folder: Path) -> Outcome:
    """Read some damaged inputs of a reader, each the same whenever it is tried.

    Args:
        name: of the reader, see `readers.READERS`.
        numbers: of the inputs.
        shared: where the whole files of all readers are kept.
        folder: an empty one to work in.
    Returns:
        Trials by reader and outcome; "slowest s" of computing, "peak MiB" of a process.
    """
    outcome, notes = Outcome(), folder / "notes.jsonl"
    start, last = numbers.start, numbers.stop
    while start < last:
        notes.write_text("")
        code = _work(name, range(start, last), shared, folder)
        begun = start
        for line in notes.read_text().splitlines():
            begun, kind, note, seconds, mib = json.loads(line)
            if kind == "begun":
                continue
            if kind == "fault":
                raise RuntimeError(note)
            outcome.trials[f"{name} {kind}"] += 1
            outcome.measure("slowest s", seconds)
            outcome.measure("peak MiB", mib)
            if kind == "wrong":
                outcome.wrong.append(f"{name}, input {begun}: {note}")
        if code:
            outcome.trials[f"{name} wrong"] += 1
            how = f"hung for {SILENCE_S} s" if code == -signal.SIGKILL else f"ended with {code}"
            outcome.wrong.append(f"{name}, input {begun}: its process {how}")
        start = begun + 1
    return outcome


def _work(name: str, numbers: range, shared: Path, folder: Path) -> int:
    """Let a process read the inputs; returns its exit code, -9 where it hung and was killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([MODULES])
    notes = folder / "notes.jsonl"
    process = context.Process(target=_serve, args=(name, numbers, shared, folder, os.getpid()))
    process.start()
    try:
        while process.is_alive():
            process.join(2)
            if time.time() - notes.stat().st_mtime > SILENCE_S:
                process.kill()
    finally:
        process.kill()
        process.join()
    return process.exitcode or 0


def _serve(name: str, numbers: range, shared: Path, folder: Path, parent: int) -> None:
    try:
        _read_all(name, numbers, shared, folder, parent)
    except Exception as error:  # noqa: BLE001  the row is at fault, and its process says it
        note = json.dumps([numbers.start, "fault", f"{name}: {where(error)}", 0, 0])
        (folder / "notes.jsonl").write_text(note + "\n")


def _read_all(name: str, numbers: range, shared: Path, folder: Path, parent: int) -> None:
    from tests.torture.readers import READERS

    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    signal.signal(signal.SIGPROF, _stop)
    warnings.simplefilter("ignore")
    os.chdir(folder)
    reader = READERS[name]
    whole = _whole(reader, shared / name, folder)
    shutil.rmtree(folder / "input", ignore_errors=True)
    pristine = Pristine(whole, folder / "input")
    with (folder / "notes.jsonl").open("a") as notes:
        for number in numbers:
            pristine.restore()
            notes.write(json.dumps([number, "begun", "", 0, 0]) + "\n")
            notes.flush()
            kind, note, seconds = _outcome(
                reader, pristine.folder, random.Random(f"{name} {number}")
            )
            mib = max(resource.getrusage(who).ru_maxrss for who in (0, -1)) / 1024
            if mib > MOST_MIB and kind != "wrong":
                kind, note = "wrong", f"the process grew to {mib:.0f} MiB [{note}]"
            notes.write(json.dumps([number, kind, note, round(seconds, 2), round(mib)]) + "\n")
            if mib > MOST_MIB or not _lives(parent):
                return  # the next inputs get a process of their own


def _whole(reader: Reader, whole: Path, folder: Path) -> Path:
    """Return the reader's whole files, made and read once if they are not there."""
    if not whole.is_dir():
        part = folder / "whole"
        part.mkdir()
        reader.make(part)
        shutil.copytree(part, folder / "proof", symlinks=True)
        reader.read(folder / "proof")
        part.rename(whole)
    return whole


def _outcome(reader: Reader, folder: Path, rng: random.Random) -> tuple[str, str, float]:
    """Damage and read an input; returns what came of it, a note, and the seconds of computing."""
    what, began = reader.damage(folder, rng), _computed()
    signal.setitimer(signal.ITIMER_PROF, MOST_S)
    try:
        reader.read(folder)
        kind, note = "read", what
    except KitError as error:
        lines = str(error).splitlines()
        kind, note = "refused", what
        if len(lines) != 1:
            kind, note = "wrong", f"{len(lines)} lines: {lines[:1]} [{what}]"
    except BaseException as error:  # noqa: BLE001  any other exception is what is looked for
        kind, note = "wrong", f"{where(error)} [{what}]"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds = _computed() - began
    if seconds > MOST_S and kind != "wrong":
        kind, note = "wrong", f"{seconds:.0f} s of computing [{what}]"
    return kind, note, seconds


def _computed() -> float:
    """Return the processor's seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def _stop(*_) -> None:
    raise TimeoutError(f"over {MOST_S} s of computing")


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True
