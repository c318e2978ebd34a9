"""WebDataset's tar files: a sample is the members of one key, `KEY.jpg`, `KEY.cls`, `KEY.json`.

Members are found by walking the headers; images stay in their files until they are asked for. The
kit writes a number as the key, the person's number as `.cls`, and `.json` with `identity` and
`path`, which also says whether the face is masked.
"""

import io
import itertools
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from mfr_kit import files
from mfr_kit.data.formats._samples import (
    LABELS,
    Samples,
    build_set,
    files_of,
    is_shard_folder,
    shown_name,
)
from mfr_kit.data.formats._tar_members import Member, walk
from mfr_kit.data.images import SUFFIXES
from mfr_kit.data.photographs.layout import lay_out
from mfr_kit.data.training_set import TrainingSet
from mfr_kit.errors import KitError

SHARD_BYTES, SHARD_PHOTOGRAPHS = 1_000_000_000, 100_000  # a shard ends with what exceeds one
MOST_TEXT = 1 << 20  # bytes of a .json or .cls; more is no label
NEEDS = "KEY.cls, or 'identity' or 'label' in KEY.json"
_KEY = re.compile(r"^((?:.*/|)[^./][^./]*)\.([^/]*)$", re.DOTALL)


def recognises(path: Path) -> bool:
    """A .tar, a pattern of such names, or a folder of .tar files without inner folders."""
    return path.suffix.lower() == ".tar" or is_shard_folder(path, ".tar")


def open_set(path: Path) -> TrainingSet:
    """List the samples of every shard.

    Samples without an image and hidden members are among the `skipped`; so are samples without a
    label where others have one.

    Raises:
        KitError: a damaged or compressed archive, or a member that points outside of it.
    """
    shards = files_of(path, ".tar")
    samples, places = Samples(), []
    for number, shard in enumerate(shards):
        for place in _read_shard(shard, samples):
            places.append((number, *place))
    table = np.array(places, np.int64).reshape(-1, 3)
    return build_set(path, "webdataset", samples, _Images(shards, table), NEEDS)


def outputs(path: Path) -> list[Path]:
    """Name what `write_set` makes."""
    return [path]


def write_set(path: Path, source: TrainingSet) -> None:
    """Write one .tar where `path` ends so, else a folder of `NAME-000000.tar` ...; images' bytes
    unchanged, ordered by person.
    """
    if path.suffix.lower() == ".tar":
        with files.replacing(path) as temporary, _tar(temporary) as tar:
            for sample in _samples(source):
                _append(tar, sample)
        return
    with files.building(path) as folder, ExitStack() as stack:
        shards, count = 0, SHARD_PHOTOGRAPHS
        for sample in _samples(source):
            if count >= SHARD_PHOTOGRAPHS or tar.offset > SHARD_BYTES:
                stack.close()
                tar = stack.enter_context(_tar(folder / f"{path.name}-{shards:06d}.tar"))
                shards, count = shards + 1, 0
            _append(tar, sample)
            count += 1


def _tar(path: Path) -> "AbstractContextManager[tarfile.TarFile]":
    return tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)


def _samples(source: TrainingSet) -> Iterator[list[tuple[str, bytes]]]:
    people: dict[str, int] = {}
    for number, (_, person, name, data) in enumerate(lay_out(source)):
        label = people.setdefault(person, len(people))
        about = {"identity": person, "label": label, "path": name}
        text = json.dumps(about, ensure_ascii=False).encode("utf-8", "surrogateescape")
        suffix = PurePosixPath(name).suffix
        parts = [(suffix, data), (".cls", str(label).encode()), (".json", text)]
        yield [(f"{number:09d}{suffix}", content) for suffix, content in parts]


def _append(tar: tarfile.TarFile, sample: list[tuple[str, bytes]]) -> None:
    for name, content in sample:
        member = tarfile.TarInfo(name)  # owner and time are 0: equal sets are equal files
        member.size, member.mode = len(content), 0o444
        tar.addfile(member, io.BytesIO(content))
    vars(tar)["members"] = []  # it would keep them all


def _read_shard(shard: Path, samples: Samples) -> Iterator[tuple[int, int]]:
    """Add a shard's photographs to `samples`, and yield where each lies: (offset, size)."""
    with shard.open("rb") as file:

        def read(member: Member) -> bytes:
            return os.pread(file.fileno(), min(member.size, MOST_TEXT), member.offset)

        def key_of(member: Member) -> str:
            found = None if _is_hidden(member.name) else _KEY.match(member.name)
            return found[1] if found and member.is_file else ""

        for key, group in itertools.groupby(walk(shard), key_of):
            if not key:
                _skip(shard, list(group), samples)
                continue
            members: dict[str, Member] = {}
            for member in group:
                if members.setdefault(member.name[len(key) + 1 :].lower(), member) is not member:
                    samples.skip(member.name, "bad_name", f"{shard.name}: the name stands twice")
            images = {name: member for name, member in members.items() if _suffix(name) in SUFFIXES}
            if not images:
                samples.skip(key, "not_an_image", f"{shard.name}: no image among {list(members)}")
            about = _about(members.get("json"), read)
            for member in images.values():
                path = about.get("path")
                own = isinstance(path, str) and len(images) == 1
                name = shown_name(path if own else member.name, f"{shard.stem}/{key}")
                samples.add(name, _who(about, members, read))
                yield member.offset, member.size


def _is_hidden(name: str) -> bool:
    parts = name.removeprefix("./").split("/")
    return any(part.startswith((".", "__MACOSX")) for part in parts)


def _suffix(name: str) -> str:
    return f".{name.rpartition('.')[2]}"


def _skip(shard: Path, members: list[Member], samples: Samples) -> None:
    for member in members:
        reason = (
            "hidden"
            if _is_hidden(member.name)
            else "not_an_image"
            if member.is_file
            else "not_a_file"
        )
        samples.skip(shown_name(member.name, ascii(member.name)), reason, f"in {shard.name}")


def _about(member: Member | None, read: Callable[[Member], bytes]) -> dict:
    if member is None:
        return {}
    try:
        value = json.loads(read(member))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _who(about: dict, members: dict[str, Member], read: Callable[[Member], bytes]) -> str | None:
    """Name the person: `identity` or `person` of the .json, the .cls, or another label there."""
    texts = {name: about[name] for name in LABELS if name in about}
    if "cls" in members:
        texts["cls"] = read(members["cls"]).decode("utf-8", "replace")
    for name in (*LABELS[:2], "cls", *LABELS[2:]):
        value = texts.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    return None


@dataclass(frozen=True)
class _Images:
    """The `encoded` of a set: one read at a member's offset."""

    shards: list[Path]
    places: np.ndarray  # (N, 3) shard, offset, size

    def __call__(self, row: int) -> bytes:
        shard, offset, size = self.places[row].tolist()
        path = self.shards[shard]
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise KitError(f"{path}: cannot be read ({error.strerror})") from None
        if len(data) != size:
            raise KitError(f"{path}: offset {offset}: {size} bytes expected, {len(data)} are there")
        return data
