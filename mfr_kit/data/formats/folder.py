"""A folder of people's folders: `SET/<person>/.../<photo>`."""

import os
import shutil
from pathlib import Path

from mfr_kit.data.images import SUFFIXES
from mfr_kit.data.photos import list_photos
from mfr_kit.data.training_set import Files, TrainingSet, from_names, lay_out


def recognises(path: Path) -> bool:
    """A folder that no other format claims."""
    return path.is_dir() and not (path / "faces.parquet").exists() and not any(path.glob("*.rec"))


def open_set(path: Path) -> TrainingSet:
    """List the image files (by suffix) of every person's folder, sorted."""
    photos = [photo for photo in list_photos(path) if Path(photo.source).suffix.lower() in SUFFIXES]
    names = [photo.source for photo in photos]
    return from_names(path, [photo.identity for photo in photos], names, Files(path, names, path))


def write_set(path: Path, source: TrainingSet) -> None:
    """Write every photograph, bytes unchanged, to `path/<person>/<name>`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        for _, _, name, data in lay_out(source):
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
