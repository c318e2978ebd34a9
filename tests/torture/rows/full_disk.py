"""The disk refuses at one point of a command that writes: the nth time that it makes, syncs or
names a file (ENOSPC, EDQUOT or EIO, once or from then on), any byte of a file (a limit of the
kernel on its size, EFBIG), or any page of a small disk (tmpfs, ENOSPC, where mounting works). What
was there has to stay, and the command run again with room has to end as if nothing had been.
"""

import contextlib
import errno
import os
import random
import resource
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from unittest import mock

from mfr_kit import paths
from tests.torture import jobs
from tests.torture.outcome import Outcome
from tests.torture.refusals import Refusals

TITLE = "a disk that is full, or fails, at any write"
WANTED = "every point, one line, exit code 2, nothing lost, nothing left"
ROUNDS, SHORT = 304, 3
ERRORS = (errno.ENOSPC, errno.ENOSPC, errno.EDQUOT, errno.EIO)
PAGE_KIB = 4


def prepare(shared: Path) -> None:
    """Make the inputs; what a job writes undisturbed is made when it is first needed."""
    jobs.make_inputs(shared / "inputs")


def attempt(number: int, shared: Path, folder: Path) -> Outcome:
    """Refuse one command at one point, and run it again."""
    names, rng, outcome = list(jobs.JOBS), random.Random(number), Outcome()
    name = names[number % len(names)]
    job, wanted = jobs.JOBS[name], jobs.whole(name, shared)
    way = rng.choice(["call", "call", "size", "room"])
    inputs = jobs.digest_inputs(shared / "inputs")
    with contextlib.ExitStack() as stack:
        disk = folder / "disk"
        disk.mkdir()
        way = way if way != "room" or stack.enter_context(_mounted(disk)) else "size"
        work = disk / "work"
        old = jobs.lay_out(shared / "inputs", work, job)
        if rng.random() < 0.5:  # or it is refused before the work, as it should be
            stack.enter_context(mock.patch.object(paths, "_PROBE_BYTES", 0))
        calls = len(jobs.calls_of(name, shared))
        with jobs.mortal():
            point, end = _refuse(way, rng, job, work, wanted, calls)
        notes = [note] if (note := end.problem()) else []
        notes += _lost(jobs.tree(work), old, wanted, job, end)
        if way == "room":
            subprocess.run(["mount", "-o", "remount,size=256m", disk], check=True)
        if end.code:
            again = jobs.run(job, work)
            found = jobs.without_cache(jobs.differences(jobs.tree(work), wanted))
            # a disk that fails for good takes no name away either
            whole = "exists already" in again.said and not found
            notes += [f"again: {again.code}, {again.said[-300:]!r}"] * bool(
                again.code and not whole
            )
            notes += found
    if jobs.digest_inputs(shared / "inputs") != inputs:
        notes.append("the inputs are not what they were")
    outcome.trials[f"{name}: {way}, exit code {end.code}"] += 1
    outcome.wrong += [f"{name}, {way} {point}: {note}" for note in notes]
    return outcome


def _refuse(
    way: str, rng: random.Random, job: jobs.Job, work: Path, wanted: dict[str, Any], most: int
) -> tuple[str, jobs.End]:
    """Run a job on a disk that refuses, and say where."""
    sizes = [len(data) for data in wanted.values() if isinstance(data, bytes)]
    if way == "call":
        with Refusals(work) as refusals:
            number = rng.randint(1, most)
            refusals.arm(number, rng.choice(ERRORS), rng.random() < 0.5)
            return f"{number} ({refusals.about})", jobs.run(job, work)
    if way == "size":
        size = rng.choice([rng.randint(0, 4096), rng.randint(0, max(sizes))])
        with _limited(size):
            return f"{size} bytes", jobs.run(job, work)
    used = sum(-(-size // (PAGE_KIB << 10)) for size in sizes) + 4
    free = rng.randint(0, used + used // 4)
    with _filled(work.parent, free):
        return f"{free} pages", jobs.run(job, work)


def _lost(
    found: dict[str, Any],
    old: dict[str, Any],
    wanted: dict[str, Any],
    job: jobs.Job,
    end: jobs.End,
) -> list[str]:
    """Say what a refused command has lost or left half made."""
    notes = []
    for name, data in old.items():
        if name not in found or found[name] not in (data, wanted[name]):
            notes.append(f"lost: {name}")
    if end.code == 0:
        return notes + jobs.without_cache(jobs.differences(found, wanted))
    for name in found.keys() - old.keys():
        if fnmatch(name, job.keeps):
            continue
        if name not in wanted and not job.grows:
            notes.append(f"left: {name}")
        elif not job.grows and found[name] != wanted[name]:
            notes.append(f"half: {name}")
        elif Path(name).name.startswith("."):
            notes.append(f"left: {name}")
    return notes


@contextlib.contextmanager
def _mounted(folder: Path) -> Iterator[bool]:
    """Mount a disk of its own on a folder, and say whether that worked."""
    command = ["mount", "-t", "tmpfs", "-o", "size=256m", "torture", folder]
    try:
        works = subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        works = False
    try:
        yield works
    finally:
        if works:
            subprocess.run(["umount", "-l", folder], check=True)


@contextlib.contextmanager
def _filled(disk: Path, pages: int) -> Iterator[None]:
    """Leave so many pages free on a mounted disk."""
    state = os.statvfs(disk)
    used = (state.f_blocks - state.f_bfree) * state.f_frsize // 1024
    size = f"remount,size={used + pages * PAGE_KIB}k"
    subprocess.run(["mount", "-o", size, disk], check=True)
    yield


@contextlib.contextmanager
def _limited(most: int) -> Iterator[None]:
    """Let the kernel refuse what makes a file larger; SIGXFSZ is ignored, as Python does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
