"""A folder of people's folders: `SET/<person>/.../<photo>`, masked faces in `SET/<person>/masked/` or called `photo.masked.jpg`."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mfr_kit import files
from mfr_kit.data.images import read_image_file
from mfr_kit.data.layout import lay_out
from mfr_kit.data.masked_names import says_masked
from mfr_kit.data.photos import Photo, list_entries
from mfr_kit.data.training_set import TrainingSet, from_names


def recognises(path: Path) -> bool:
    """A folder that no other format claims."""
    return (
        path.is_dir()
        and not (path / "faces.parquet").exists()
        and not any(item.suffix.lower() == ".rec" for item in path.iterdir() if item.is_file())
    )


def open_set(path: Path) -> TrainingSet:
    """List the files of every person's folder, sorted; whether they are images is seen when they are read."""
    entries = list(list_entries(path))
    photos = [entry for entry in entries if not entry.reason]
    names = [photo.source for photo in photos]
    masked = [photo.condition == "mask" or says_masked(Path(photo.source).name) for photo in photos]
    people = [photo.identity for photo in photos]
    opened = from_names(path, people, names, _Images(path, names), np.array(masked, bool))
    return replace(opened, skipped=tuple(_row(entry) for entry in entries if entry.reason))


@dataclass(frozen=True)
class _Images:
    """The `encoded` of a folder; what is no image by its first bytes or its suffix is not read to its end."""

    folder: Path
    names: list[str]

    def __call__(self, index: int) -> bytes:
        return read_image_file(self.folder / self.names[index])


def _row(entry: Photo) -> dict:
    return {
        "source": entry.source,
        "identity": entry.identity,
        "condition": entry.condition or "nonmask",
        "clean_key": "",
        "reason": entry.reason,
        "detail": entry.detail,
    }


def write_set(path: Path, source: TrainingSet) -> None:
    """Write every photograph, bytes unchanged, to `path/<person>/<name>`; masked faces to names that say so."""
    with files.building(path) as temporary:
        for _, _, name, data in lay_out(source):
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
