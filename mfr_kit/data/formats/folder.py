"""A folder of people's folders: `SET/<person>/.../<photo>`, masked faces in `SET/<person>/masked/` or called `photo.masked.jpg`."""

from pathlib import Path

import numpy as np

from mfr_kit import files
from mfr_kit.data.images import SUFFIXES
from mfr_kit.data.layout import lay_out
from mfr_kit.data.masked_names import says_masked
from mfr_kit.data.photos import list_photos
from mfr_kit.data.training_set import Files, TrainingSet, from_names


def recognises(path: Path) -> bool:
    """A folder that no other format claims."""
    return (
        path.is_dir()
        and not (path / "faces.parquet").exists()
        and not any(item.suffix.lower() == ".rec" for item in path.iterdir() if item.is_file())
    )


def open_set(path: Path) -> TrainingSet:
    """List the image files (by suffix) of every person's folder, sorted."""
    photos = [photo for photo in list_photos(path) if Path(photo.source).suffix.lower() in SUFFIXES]
    names = [photo.source for photo in photos]
    masked = [photo.condition == "mask" or says_masked(Path(photo.source).name) for photo in photos]
    people = [photo.identity for photo in photos]
    return from_names(path, people, names, Files(path, names, path), np.array(masked, bool))


def write_set(path: Path, source: TrainingSet) -> None:
    """Write every photograph, bytes unchanged, to `path/<person>/<name>`; masked faces to names that say so."""
    with files.building(path) as temporary:
        for _, _, name, data in lay_out(source):
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
