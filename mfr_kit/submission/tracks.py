"""The challenge tracks: one TOML file each in the top-level folder `submission/`, read here and
nowhere else.
"""

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mfr_kit import shipped
from mfr_kit.errors import KitError
from mfr_kit.options import read_toml
from mfr_kit.registry import unknown

FOLDER = shipped.folder("submission")


@dataclass(frozen=True)
class Limits:
    """What a model may have; None where the track sets no limit."""

    embedding_size: int | None = None  # columns of the output, at most
    time_ms: float | None = None  # for one image, at most
    time_on: str = (
        "v100"  # the machine that is timed: "v100", or "cpu-thread" for one thread of a CPU
    )
    file_mib: float | None = None  # at most
    flops: float | None = None  # multiply-adds for one image, at most
    opset: int | None = None  # highest the runtime reads
    ir: int | None = None  # highest IR version the runtime reads
    nodes: int = 1  # of the graph, at least
    element_bytes: int = 4  # of a weight, at least; 1 lets float16 and int8 files in


@dataclass(frozen=True)
class Ancestry:
    """What a model, its teacher and its initial weights may have been trained on."""

    training_sets: list[str] | None = None  # names; None allows anything
    people: int | None = None  # identities of the largest allowed set


@dataclass(frozen=True)
class Track:
    """One track, as its file says. `package` is a file of submission/packages/, `features` the
    format of a features package.
    """

    name: str
    title: str
    package: str
    runtime: str
    metric: str
    sources: list[str]
    notes: list[str] = field(default_factory=list)
    features: str | None = None
    # our own code feeds the model, so that nothing of its input has to be guessed
    fed_by_kit: bool = False
    # text put beside the model; {mean} and {std} are filled in
    side_files: dict[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    lineage: Ancestry = field(default_factory=Ancestry)


def names(folder: Path = FOLDER) -> list[str]:
    """List the tracks: the TOML files of the folder."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load(name: str, folder: Path = FOLDER) -> Track:
    """Read a track.

    Raises:
        KitError: no such track, or a file with an unknown, missing or wrongly typed key.
    """
    if name not in names(folder):
        raise KitError(unknown("value for --track", name, names(folder)))
    path = folder / f"{name}.toml"
    raw = read_toml(path, "the track")
    raw["limits"] = _checked(Limits, raw.get("limits", {}), f"{path} [limits]")
    raw["lineage"] = _checked(Ancestry, raw.get("lineage", {}), f"{path} [lineage]")
    return _checked(Track, {"name": name, **raw}, str(path))


def describe(track: Track) -> str:
    """The limits in one line."""
    limits = track.limits
    parts = [
        f"embedding <= {limits.embedding_size}" if limits.embedding_size else "",
        f"<= {limits.time_ms:g} ms an image on {limits.time_on}" if limits.time_ms else "",
        f"file <= {limits.file_mib:g} MiB" if limits.file_mib else "",
        f"<= {limits.flops:.2g} multiply-adds" if limits.flops else "",
        f"opset <= {limits.opset}, IR <= {limits.ir}" if limits.opset else "",
    ]
    return ", ".join(part for part in parts if part) or "none"


def _checked(cls: type, values: Any, where: str):
    if not isinstance(values, dict):
        raise KitError(f"{where}: should be a table, found {values!r}")
    fields = {item.name: item for item in dataclasses.fields(cls)}
    for key, value in values.items():
        if key not in fields:
            raise KitError(f"{where}: {unknown('key', key, sorted(fields))}")
        kinds = _kinds(fields[key].type)
        if isinstance(value, bool) != (kinds == (bool,)) or not isinstance(value, kinds):
            raise KitError(f"{where}: key '{key}' should be {fields[key].type}, found {value!r}")
    required = [
        name
        for name, item in fields.items()
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    ]
    missing = [name for name in required if name not in values]
    if missing:
        raise KitError(f"{where}: key '{missing[0]}' is missing")
    return cls(**values)


def _kinds(hint) -> tuple[type, ...]:
    kinds = [
        typing.get_origin(kind) or kind
        for kind in (typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,))
    ]
    return (*kinds, int) if float in kinds else tuple(kinds)
