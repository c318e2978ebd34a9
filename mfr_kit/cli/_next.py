"""The command that usually comes next, with the paths of the one that has ended."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from mfr_kit import console, shipped
from mfr_kit.cli import _help

RECIPE = "adapt_sface.toml"
TRACK = "unconstrained"
Words = list[str] | None  # of a command line, without the program; None where nothing follows


def advise(words: Words) -> None:
    """Print a command that can be copied as it is; nothing under --quiet."""
    if words is None or console.current().quiet or not console.current().advice:
        return
    program = _help.program()
    called = f"python {program}" if program == _help.CALLED else program
    print(f"next: {called} {shlex.join(words)}", file=sys.stderr)


def free(path: Path) -> str:
    """Return a path, or with a number behind its name, where nothing is yet."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return str(found)


def split(face_set: Path) -> Words:
    """Divide the people of a set that was made."""
    return ["split", str(face_set), free(face_set.parent / "lists")]


def distill(face_set: Path, lists: Path) -> Words:
    """Train on a set that was divided."""
    recipe = shipped.folder("configs") / RECIPE
    near = os.path.relpath(recipe)
    words = ["distill", "--config", str(recipe) if near.startswith(os.pardir) else near]
    words += ["--data", str(face_set)]
    for part in ("val", "holdout"):
        if (lists / f"{part}.txt").is_file():
            words += [f"--{part}-people", str(lists / f"{part}.txt")]
    return [*words, "--out", free(Path("runs/sface"))]


def evaluate(models: Sequence[str], data: Path, people: Sequence[Path]) -> Words:
    """Compare models on people that were held out; None where no list, or several, name them."""
    if len(people) != 1:
        return None
    words = ["evaluate", *models, "--data", str(data), "--people", str(people[0])]
    return [*words, "--out", free(Path("report"))]


def export(run: Path | str, report: Path | None = None) -> Words:
    """Write a run's student as ONNX, with the thresholds of a report."""
    known = [] if report is None else ["--report", str(report)]
    return ["export-onnx", str(run), "--out", free(Path("model.onnx")), *known]


def check(model: Path, run: Path | None = None, track: str = TRACK) -> Words:
    """Hold a file against a track's rules."""
    return ["check", str(model), "--track", track, *_of(run)]


def pack(model: Path, run: Path | None, track: str) -> Words:
    """Pack a file that keeps the rules."""
    out = free(Path("submission.zip"))
    return ["make-submission", str(model), "--track", track, *_of(run), "--out", out]


def _of(run: Path | None) -> list[str]:
    return [] if run is None else ["--run", str(run)]
