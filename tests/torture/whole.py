"""What commands write when nobody disturbs them, and what differs from it."""

import json
import shutil
from pathlib import Path
from typing import Any

from tests.torture.commands import COMMANDS, lay_out
from tests.torture.launch import Running
from tests.torture.written import content

LIMIT_S = 600.0
BESIDES = frozenset({"commit"})  # of a record, which may have another later
KEPT = ("embeddings",)  # of the kit's cache


def whole(name: str, shared: Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a command that nobody disturbed, made at its first use, and how long it
    took ("seconds") and how often it touched a file of its own ("touches").
    """
    folder = shared / "whole" / name.replace(" ", "-")
    about = folder.with_name(f"{folder.name}.json")
    if not about.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        running = Running(COMMANDS[name], lay_out(shared / "inputs", folder))
        try:
            code = running.wait(LIMIT_S)
            if code != 0:
                raise RuntimeError(f"{name}, undisturbed: {code}, {running.said()[-300:]}")
        finally:
            running.end()
        found = {"seconds": running.seconds, "touches": running.touches()}
        about.write_text(json.dumps(found))
    return folder, json.loads(about.read_text())


def differences(folder: Path, wanted: Path) -> list[str]:
    """Say which files and folders are missing, too many or other than in `wanted`, but for times;
    what begins with a dot or ends in `.part` counts as any other.
    """
    found, other = _names(folder), _names(wanted)
    notes = [f"missing: {name}" for name in sorted(other - found)]
    notes += [f"left: {name}" for name in sorted(found - other)]
    for name in sorted(found & other):
        if (folder / name).is_file() and (
            content(folder / name, BESIDES) != content(wanted / name, BESIDES)
        ):
            notes.append(f"differs: {name}")
    return notes


def _names(folder: Path) -> set[str]:
    """The paths of all that lies in a round's folder, but its inputs and the kit's assets."""
    names = set()
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if name.parts[0] == "inputs" or (name.parts[0] == "home" and name.parts[1:2] != KEPT):
            continue
        names.add(name.as_posix())
    return names
