"""A folder of good photographs among odd and broken ones (`tests/odd_photographs.py`), through
`augment`: every good one gives the same bytes as without the others, every other a face or a
reason.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

from mfr_kit import assets
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.photographs.folder_tree import readable
from mfr_kit.processes import peak_mib
from tests import odd_photographs
from tests.torture.outcome import Outcome

TITLE = "10,000 broken and odd photographs among 500 good"
WANTED = "all good kept byte for byte, every other listed with its reason, exit code 0, <= 1 GiB"
ROUNDS, SHORT = 100, 1
GOOD, ODD, PEOPLE = 5, 100, 4  # good and odd ones a round; people whose five takes are good ones
MOST_MIB = 1024


def _good(person: int) -> list[Path]:
    return [
        assets.path("orl-faces") / f"s{person + 1}" / f"{take}.pgm" for take in range(1, 1 + GOOD)
    ]


def _augment(src: Path, dst: Path, log: Path) -> tuple[int, float, float]:
    """Run the command; returns its exit code, seconds of computing and peak in MiB."""
    call = [sys.executable, "-m", "mfr_kit", "augment", str(src), str(dst)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*call, "--workers", "0", "--ratio", "0"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
        pid, mib = 0, 0.0
        while not pid:
            mib = max(mib, peak_mib(process.pid) or 0)
            time.sleep(0.02)
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime, mib


def _write_good(folder: Path, person: int) -> None:
    folder.mkdir(parents=True)
    for take, path in enumerate(_good(person)):
        Image.open(path).save(folder / f"good-{take}.png")


def _faces(folder: Path) -> dict[str, bytes]:
    """Read the encoded clean faces by their photograph."""
    found = FaceSet.open(folder)
    return {source: found.encoded(row) for row, source in enumerate(found.sources)}


def prepare(shared: Path) -> None:
    """Make the faces of the good photographs alone."""
    for person in range(PEOPLE):
        _write_good(shared / "photographs" / f"p{person}", person)
    code = _augment(shared / "photographs", shared / "set", shared / "log")[0]
    if code:
        raise RuntimeError((shared / "log").read_text()[-300:])


def attempt(number: int, shared: Path, folder: Path) -> Outcome:
    """Augment one person's good photographs among odd ones."""
    person, rng, outcome = number % PEOPLE, random.Random(f"photographs {number}"), Outcome()
    home = folder / "photographs" / f"p{person}"
    _write_good(home, person)
    face = Image.open(_good(PEOPLE + number % 30)[number % GOOD]).convert("RGB")
    odd = {
        f"p{person}/{readable(odd_photographs.write(face, home, item, rng))}" for item in range(ODD)
    }
    began = time.monotonic()
    code, seconds, mib = _augment(folder / "photographs", folder / "set", folder / "log")
    outcome.measure("peak MiB", round(mib))
    outcome.measure("slowest s", round(min(seconds, time.monotonic() - began), 1))
    if code:
        outcome.wrong.append(f"exit code {code}: {(folder / 'log').read_text('utf-8')[-200:]}")
        return outcome
    if mib > MOST_MIB:
        outcome.wrong.append(f"the process grew to {mib:.0f} MiB")
    alone, found = _faces(shared / "set"), _faces(folder / "set")
    good = {name: data for name, data in alone.items() if name.startswith(f"p{person}/")}
    outcome.wrong += [f"{name} differs" for name in good if found.get(name) != good[name]]
    reasons = {row["source"]: row["reason"] for row in FaceSet.open(folder / "set").skipped}
    outcome.wrong += [f"{name!r} has no reason" for name, why in reasons.items() if not why]
    known = set(reasons) | set(found)
    outcome.wrong += [f"{name!r} is not mentioned" for name in sorted(odd - known)]
    both = sorted(set(reasons) & set(found))
    outcome.wrong += [f"{name!r} is kept and skipped" for name in both]
    outcome.trials.update({"good": len(good), "odd kept": len(odd & set(found))})
    outcome.trials["odd listed"] += len(odd & set(reasons))
    return outcome
