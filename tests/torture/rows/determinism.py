"""The commands of the main job under other workers, hash seeds, locales, time zones, umasks,
folders and orders of files: every file they write has the bytes of the first run.

What a run says of time (`metrics.jsonl`, its page) and of who works (`config.toml`) is left out.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from mfr_kit import assets
from tests.torture.launch import RANKS, RANKS_LINE
from tests.torture.outcome import Outcome

ROOT = Path(__file__).resolve().parents[3]
PEOPLE, TAKES = 6, 3
RUN = "--teacher sface --student mobilefacenet --width 0.125 --steps 3 --batch-size 8 --device cpu"
MEASURE = "--far 0.1 --resamples 20 --allow-overlap"
BY_TORCHRUN = f"{RANKS} {RANKS_LINE} -m mfr_kit"
# by command, in the order in which they build on each other; @ is where files lie
COMMANDS = {
    "augment": "augment @photographs @set --ratio 0.5 --workers 0",
    "convert": "convert @set @set.rec",
    "distill": f"distill --data @set --out @run {RUN} --workers 0",
    "export": "export-onnx @run --out @model.onnx",
    "evaluate": f"evaluate @model.onnx --data @set --out @report {MEASURE}",
    "distill two ranks": f"{BY_TORCHRUN} distill --data @set --out @ranks {RUN} --workers 0",
}
TIMED = ("progress.html",)
TIMES = ("_s", "waits_for_loader")  # ends of keys of metrics.jsonl


class Variation(NamedTuple):
    """What is other than in the first run."""

    name: str
    environment: dict[str, str] = {}  # noqa: RUF012  a NamedTuple's default
    arguments: tuple[str, ...] = ()
    umask: int = -1
    elsewhere: bool = False  # run in another folder
    reverse: bool = False  # photographs come to the disk in reverse order


LOCALES = ("C", "POSIX", "C.UTF-8", "tr_TR.UTF-8", "de_DE.ISO-8859-1")
ZONES = ("Asia/Kolkata", "America/St_Johns", "Pacific/Kiritimati")
EVERYWHERE = [
    *(Variation(f"hash seed {seed}", {"PYTHONHASHSEED": seed}) for seed in ("0", "1", "77")),
    *(Variation(f"LC_ALL {name}", {"LC_ALL": name, "LANG": name}) for name in LOCALES),
    *(Variation(f"TZ {zone}", {"TZ": zone}) for zone in ZONES),
    Variation("umask 077", umask=0o077),
    Variation("other folder", elsewhere=True),
    Variation("no terminal's width", {"COLUMNS": "20", "TERM": "dumb"}),
]
WORKERS = [Variation(f"{count} workers", arguments=("--workers", count)) for count in "124"]
RAY = Variation("engine ray", arguments=("--engine", "ray", "--workers", "2"))
OWN = {
    "augment": [Variation("reverse order", reverse=True), *WORKERS, RAY, *EVERYWHERE],
    "distill": [
        *WORKERS,
        Variation("bank by ray", arguments=("--bank-engine", "ray")),
        *EVERYWHERE,
    ],
    "evaluate": [Variation("engine ray", arguments=("--engine", "ray")), *EVERYWHERE],
    "distill two ranks": [Variation("again"), *WORKERS, *EVERYWHERE[:4]],
}
PLAN = [(command, variation) for command in COMMANDS for variation in OWN.get(command, EVERYWHERE)]
TITLE = "the same bytes whatever the machine's settings"
WANTED = "workers 0/1/2/4, ranks, engines, hash seeds, locales, time zones, umasks, folders, orders"
ROUNDS, SHORT = len(PLAN), 1


def prepare(shared: Path) -> None:
    """Write the photographs; a command's first run is made by its first round."""
    _write_photographs(shared / "photographs", reverse=False)


def attempt(number: int, shared: Path, folder: Path) -> Outcome:
    """Run a command once more under a variation, on the first run's inputs."""
    (command, variation), outcome = PLAN[number], Outcome()
    earlier = list(COMMANDS)[: list(COMMANDS).index(command)]
    for name in [*earlier, command]:
        _first_run(name, shared)
    work = folder / "work"
    for name in earlier:
        shutil.copytree(shared / name, work, dirs_exist_ok=True)
    _write_photographs(work / "photographs", variation.reverse)
    before = set(_content(work))
    _run(COMMANDS[command], work, variation)
    found = {name: data for name, data in _content(work).items() if name not in before}
    first = _content(shared / command)
    outcome.wrong += [
        f"{command}, {variation.name}: {name} differs"
        for name in sorted(first.keys() | found.keys())
        if first.get(name) != found.get(name)
    ]
    outcome.trials[command] += 1
    return outcome


def _first_run(command: str, shared: Path) -> None:
    """Keep what a command writes, without what it read, as shared/COMMAND."""
    if (shared / command).is_dir():
        return
    work, earlier = shared / "work", list(COMMANDS)[: list(COMMANDS).index(command)]
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(shared / "photographs", work / "photographs")
    for name in earlier:
        shutil.copytree(shared / name, work, dirs_exist_ok=True)
    before = set(work.iterdir())
    _run(COMMANDS[command], work, Variation("first"))
    for path in before:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    work.rename(shared / command)


def _run(line: str, work: Path, variation: Variation) -> None:
    home = work
    if variation.elsewhere:
        home = work.parent / "elsewhere"
        home.mkdir()
    kit = [] if line.startswith(RANKS) else ["mfr_kit"]
    words = line.replace("@", "../work/" if variation.elsewhere else "").split()
    done = subprocess.run(
        [sys.executable, "-m", *kit, *words, *variation.arguments],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variation.environment},
        umask=variation.umask,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr.decode()[-250:]}")


def _write_photographs(folder: Path, reverse: bool) -> None:
    names = [
        (f"s{person}", take) for person in range(1, 1 + PEOPLE) for take in range(1, 1 + TAKES)
    ]
    for person, take in names[:: -1 if reverse else 1]:
        path = folder / person / f"{take}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.open(assets.path("orl-faces") / person / f"{take}.pgm").save(path)


def _content(folder: Path) -> dict[str, Any]:
    """Read every file, by its path; without times, and with paths as if it were made in place."""
    found: dict[str, Any] = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in TIMED:
            data = path.read_bytes().replace(b"../work/", b"").replace(b" --engine ray", b"")
            if path.name == "config.toml":
                data = re.sub(rb"(?m)^(workers|bank_engine) = .*\n", b"", data)
            if path.name == "report.json":
                data = data.replace(b'"engine": "ray"', b'"engine": "local"')
            lines = data.splitlines() if path.name == "metrics.jsonl" else []
            name = path.relative_to(folder).as_posix()
            found[name] = [_without_times(json.loads(line)) for line in lines] or data
    return found


def _without_times(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if not key.endswith(TIMES)}
