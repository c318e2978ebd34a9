"""The power goes before one of the syncs and renames of a command, or when it has ended: what was
synced is there, the rest is there, missing, empty or cut short, as the round's number decides. All
names hold the old or the new, and the command run again, where its line says so after something
was removed by hand, ends as if nothing had been.
"""

import contextlib
import fnmatch
import random
import re
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

from mfr_kit import claims
from mfr_kit.augment import safe_point
from tests.torture import jobs
from tests.torture.outcome import Outcome
from tests.torture.power import Power

TITLE = "a power cut at any sync or rename"
WANTED = "300 points, old or new, never half, and again equal"
ROUNDS, SHORT = 304, 3
# a line may say what its user has to remove before the command can be run again
ADVICE = re.compile(r"^error: .*(?:; remove|or delete) (\S+)(?: if it is left|$)", re.M)


def prepare(shared: Path) -> None:
    """Make the inputs; what a job writes undisturbed is made when it is first needed."""
    jobs.make_inputs(shared / "inputs")


def attempt(number: int, shared: Path, folder: Path) -> Outcome:
    """Cut the power of one command at one point, and run it again on what is left."""
    names, rng, outcome = list(jobs.JOBS), random.Random(number), Outcome()
    name = names[number % len(names)]
    job, wanted = jobs.JOBS[name], jobs.whole(name, shared)
    work, after = folder / "work", folder / "after"
    old = jobs.lay_out(shared / "inputs", work, job)
    at = rng.randint(1, jobs.syncs_of(name, shared) + 1)
    with jobs.mortal(), Power(work, at, rng, after) as power:
        end = jobs.run(job, work)
    left = jobs.tree(after)
    notes = [f"exit code {end.code}, {end.said[-300:]!r}"] if end.code else []
    notes += _half(left, old, wanted, job, whole=power.about == "the end")
    kind = f"{name}: {power.about.rstrip(' 0123456789')}"
    if power.about != "the end" or job.grows:
        by_hand, again = _again(job, after, wanted)
        notes += again
        kind += ", removed by hand" * by_hand
    outcome.trials[kind] += 1
    outcome.wrong += [f"{name}, before {power.about}: {note}" for note in notes]
    return outcome


def _half(
    left: dict[str, Any], old: dict[str, Any], wanted: dict[str, Any], job: jobs.Job, whole: bool
) -> list[str]:
    """Say which names hold neither the old nor the new; `whole`: nor may any be missing."""
    notes = []
    for name, data in wanted.items():
        goes_on = job.grows or (job.keeps and fnmatch.fnmatch(name, job.keeps))
        if jobs.EMBEDDINGS in name or (goes_on and name not in old):
            continue  # a cache is looked at before it is used, as is what a command goes on with
        if name not in left:
            notes += [f"missing: {name}"] if whole or name in old else []
        elif left[name] != data and left[name] != old.get(name, data):
            notes.append(f"half: {name}")
    return notes


def _again(job: jobs.Job, folder: Path, wanted: dict[str, Any]) -> tuple[bool, list[str]]:
    """Run a command on what is left; whether something had to be removed by hand for it."""
    for name in job.old:
        (folder / name).parent.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / "home").mkdir()
    by_hand = False
    with (
        mock.patch.object(safe_point, "boot", lambda: "the next"),
        mock.patch.object(claims, "STALE_S", 0.5),  # half a claim says of nobody that he is gone
    ):
        end = jobs.run(job, folder)
        if end.code == 2 and (advice := ADVICE.search(end.said)) and advice[1] != "it":
            by_hand = True
            _remove(folder / advice[1])
            end = jobs.run(job, folder)
    found = jobs.without_cache(jobs.differences(jobs.tree(folder), wanted))
    if end.code == 2 and "exists already" in end.said and not found:
        return by_hand, []  # the name was there already
    return by_hand, [f"again: {end.code}, {end.said[-300:]!r}"] * bool(end.code) + found


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
