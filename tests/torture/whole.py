"""What commands write when nobody disturbs them, and what differs from it."""

import json
import shutil
from pathlib import Path
from typing import Any

from tests.torture.commands import COMMANDS, lay_out
from tests.torture.launch import Running

LIMIT_S = 600.0
TIMES = {"images_per_s", "steps_per_s", "waits_for_loader", "left_s", "seconds", "commit"}
KEPT = ("embeddings",)  # of the kit's cache
CURVES = {"progress.html"}  # drawn over time


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
        if (folder / name).is_file() and content(folder / name) != content(wanted / name):
            notes.append(f"differs: {name}")
    return notes


def content(path: Path) -> Any:
    """Read what of a file has to be equal."""
    data = path.read_bytes()
    if path.name in CURVES:
        return None
    if path.suffix == ".jsonl":
        return [_timeless(json.loads(line)) for line in data.splitlines()]
    if path.suffix == ".json" and path.parent.parent.name == "records":
        return _timeless(json.loads(data))
    if path.suffix == ".pt":  # equal values may be pickled in other bytes
        import torch

        return _plain(torch.load(path, weights_only=True))
    return data


def _plain(value: Any) -> Any:
    """Take the tensors of a checkpoint apart, so that == compares them bit for bit."""
    if isinstance(value, dict):
        return [(key, _plain(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "numpy"):
        return str(value.dtype), tuple(value.shape), value.contiguous().numpy().tobytes()
    return value


def _timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in TIMES}


def _names(folder: Path) -> set[str]:
    """The paths of all that lies in a round's folder, but its inputs and the kit's assets."""
    names = set()
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if name.parts[0] == "inputs" or (name.parts[0] == "home" and name.parts[1:2] != KEPT):
            continue
        names.add(name.as_posix())
    return names
