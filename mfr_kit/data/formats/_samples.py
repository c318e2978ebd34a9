"""What the formats of several files a set share: which files are meant, and samples that become a
set where some, or all, say nobody's name.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mfr_kit.data.face_set.faceset_files import SKIPPED_COLUMNS
from mfr_kit.data.photographs.layout import fits
from mfr_kit.data.photographs.masked_names import says_masked
from mfr_kit.data.training_set import TrainingSet, from_names
from mfr_kit.errors import KitError

LABELS = ("identity", "person", "label", "cls", "class")  # who it is, the first of these that is
UNLABELLED = "unlabelled"  # the one person of a set that names nobody
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


def is_pattern(path: Path) -> bool:
    """Whether a path that does not exist stands for several files: `set-*.tar`,
    `set-{000000..000012}.tar`.
    """
    return bool(_BRACES.search(path.name) or set("*?[") & set(path.name)) and not path.exists()


def files_of(path: Path, suffix: str) -> list[Path]:
    """List the files that a path means: itself, those of its pattern, or those of a folder.

    Args:
        path: file, pattern or folder.
        suffix: of the files in a folder, with its dot.
    Raises:
        KitError: there are none, or one of `{000..012}` is missing.
    """
    if path.is_dir():
        found = sorted(item for item in path.iterdir() if _is_shard(item, suffix))
    elif not is_pattern(path):
        found = [path]
    elif braces := _BRACES.search(path.name):
        first, last = braces.groups()
        names = [
            f"{path.name[: braces.start()]}{number:0{len(first)}d}{path.name[braces.end() :]}"
            for number in range(int(first), int(last) + 1)
        ]
        found = [path.with_name(name) for name in names]
    else:
        found = sorted(path.parent.glob(path.name))
    missing = next((file for file in found if not file.is_file()), None)
    if missing is not None or not found:
        raise KitError(f"{path}: there is no {missing or 'such file'}")
    return found


def is_shard_folder(path: Path, suffix: str) -> bool:
    """Whether a folder holds files of a suffix and no folder that could be a person's."""
    if not path.is_dir():
        return False
    items = [item for item in path.iterdir() if not item.name.startswith(".")]
    return any(_is_shard(item, suffix) for item in items) and not any(map(Path.is_dir, items))


def _is_shard(item: Path, suffix: str) -> bool:
    return item.suffix.lower() == suffix and not item.name.startswith((".", "_")) and item.is_file()


@dataclass
class Samples:
    """Photographs in the order of their files, and what is none."""

    names: list[str] = field(default_factory=list)
    identities: list[str | None] = field(default_factory=list)  # None: nobody's name is there
    skipped: list[dict] = field(default_factory=list)

    def add(self, name: str, identity: str | None) -> None:
        self.names.append(name)
        self.identities.append(identity)

    def skip(self, name: str, reason: str, detail: str, identity: str = "") -> None:
        row = dict.fromkeys(SKIPPED_COLUMNS, "") | {"source": name, "identity": identity}
        self.skipped.append({**row, "condition": "nonmask", "reason": reason, "detail": detail})


def build_set(
    path: Path, chosen: str, samples: Samples, encoded: Callable[[int], bytes], needs: str
) -> TrainingSet:
    """Make a set of samples. Where some name a person the others are `skipped` (reason
    `no_person`); where none does all become one person, `UNLABELLED`, and a remark says so.

    Args:
        path: of the set.
        chosen: the format's name, for the remark.
        samples: see there.
        encoded: reads the image of a sample by its place.
        needs: where a person's name is looked for, in words.
    """
    identities: Sequence[str | None] = samples.identities
    remarks = []
    if identities and not any(person is not None for person in identities):
        identities = [UNLABELLED] * len(identities)
        remarks = [f"no photograph has a label ({needs}): all are filed under '{UNLABELLED}'"]
    for name, person in zip(samples.names, identities, strict=True):
        if person is None:
            samples.skip(name, "no_person", f"no label: {needs} expected")
    rows = np.array([row for row, person in enumerate(identities) if person is not None], np.int64)
    whole = from_names(
        path,
        [person or "" for person in identities],
        samples.names,
        encoded,
        np.array(
            [
                says_masked(name, person or "")
                for name, person in zip(samples.names, identities, strict=True)
            ],
            bool,
        ),
    )
    if remarks:
        remarks.insert(0, f"{path} ({chosen}): {len(rows):,} photographs")
    return replace(whole.select(rows), skipped=tuple(samples.skipped), remarks=tuple(remarks))


def shown_name(name: object, fallback: str) -> str:
    """Take a photograph's name as a file gives it, or one of the kit's own where it is no name."""
    if not isinstance(name, str) or not 0 < len(name) < 1024 or name.endswith("/"):
        return fallback
    return name.replace("\\", "/") if all(map(fits, name)) else fallback
