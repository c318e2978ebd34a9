"""The face sets, runs, reports and models in the folders that the user gave: all that the studio
may read.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from mfr_kit.data.face_set.faceset_files import ROWS
from mfr_kit.errors import KitError
from mfr_kit.models.run_files import CONFIG, GRAPH, METRICS, STUDENT
from mfr_kit.models.spec import ADAPTED

Kind = Literal["set", "run", "report", "model"]
REPORT = "report.json"
DEEPEST = 4  # folders below one that was given
MOST_FOLDERS = 5_000  # that are looked into; more would make the page wait


@dataclass(frozen=True)
class Place:
    """Something to show.

    Attributes:
        kind: "set", "run", "report" or "model" (an .onnx file).
        path: its folder, or the file.
        name: as the page shows it: its path from where the user pointed.
    """

    kind: Kind
    path: Path
    name: str

    @cached_property
    def key(self) -> str:
        """What requests name it by: no path of a request ever reaches the file system."""
        return hashlib.sha256(os.fsencode(f"{self.kind} {self.path}")).hexdigest()[:16]


def check_folders(folders: list[Path]) -> None:
    """Refuse, before anything is served, folders that there are not.

    Raises:
        KitError: missing, or a file.
    """
    for folder in folders:
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "does not exist"
            raise KitError(f"{folder} {what}: give folders with face sets, runs or reports")


def find_places(folders: list[Path]) -> tuple[list[Place], str]:
    """Look through folders; links in them are not followed.

    Returns:
        What was found, in the order of the folders and of names; and a note where there were too
        many folders to look into all, else "".
    """
    found: dict[tuple[Kind, Path], Place] = {}
    left = MOST_FOLDERS
    for root in folders:
        for place in _walk(root.resolve(), root.resolve(), 0):
            if place is None:
                left -= 1
            else:
                found.setdefault((place.kind, place.path), place)
            if left <= 0:
                note = f"only the first {MOST_FOLDERS:,} folders were looked into: give fewer"
                return list(found.values()), note
    return list(found.values()), ""


def _walk(root: Path, folder: Path, depth: int) -> Iterator[Place | None]:
    """Yield what lies in a folder and below it; None for each folder that was looked into."""
    yield None
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return  # it went away, or is somebody else's: there is nothing to show
    names = {entry.name for entry in entries}
    name = folder.name if folder == root else f"{root.name}/{folder.relative_to(root).as_posix()}"
    if ROWS in names:
        yield Place("set", folder, name)
        return  # below lie its faces
    if REPORT in names:
        yield Place("report", folder, name)
    is_run = CONFIG in names and bool(names & {METRICS, STUDENT, ADAPTED})
    if is_run:
        yield Place("run", folder, name)
    for entry in entries:
        if entry.name.startswith(".") or entry.is_symlink():
            continue
        if entry.is_file() and entry.name.lower().endswith(".onnx"):
            if not (is_run and entry.name in (GRAPH, ADAPTED)):
                yield Place("model", folder / entry.name, f"{name}/{entry.name}")
        elif entry.is_dir() and depth < DEEPEST:
            yield from _walk(root, folder / entry.name, depth + 1)
