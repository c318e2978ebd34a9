"""The kit's own face set (`faces.parquet` and `faces/`): see mfr_kit/data/faceset.py."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mfr_kit import __version__
from mfr_kit.data.align import SIZE, TEMPLATE
from mfr_kit.data.faceset import ALIGNED, NONMASK, FaceSet, digest_of, write_rows
from mfr_kit.data.images import decode_rgb
from mfr_kit.data.training_set import TrainingSet, from_names, lay_out
from mfr_kit.errors import KitError

CHUNK_ROWS = 4096


def recognises(path: Path) -> bool:
    """A folder with a `faces.parquet`."""
    return (path / "faces.parquet").is_file()


def open_set(path: Path) -> TrainingSet:
    """Take every face of the set, masked twins too."""
    faces = FaceSet.open(path)
    return from_names(path, list(faces.identities), [key.removeprefix("faces/") for key in faces.keys], faces.encoded)


def write_set(path: Path, source: TrainingSet) -> None:
    """Adopt crops that are aligned already, bytes unchanged: their landmarks are the template's, their score is 1.

    Raises:
        KitError: an image that is not 112x112.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.mkdir(parents=True)
        write_rows(temporary, _chunks(source, temporary), {"version": __version__, "options": {"src": str(source.path)}})
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _chunks(source: TrainingSet, folder: Path) -> Iterator[tuple[list[dict], list[dict]]]:
    rows = []
    for index, person, name, data in lay_out(source):
        image = decode_rgb(data, f"{source.path}: {source.names[index]}")
        if image.shape[:2] != (SIZE, SIZE):
            size = f"{image.shape[1]}x{image.shape[0]}"
            raise KitError(f"{source.path}: {source.names[index]} is {size}, not {SIZE}x{SIZE}: align it with `kit.py augment`")
        target = folder / "faces" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        row = {
            "key": f"faces/{name}",
            "source": source.names[index],
            "identity": person,
            "condition": NONMASK,
            "score": 1.0,
            "similarity": ALIGNED,
        }
        rows.append({**row, "landmarks": TEMPLATE.ravel().tolist(), "clean_key": "", "mask": "", "digest": digest_of(data)})
        if len(rows) == CHUNK_ROWS:
            yield rows, []
            rows = []
    yield rows, []
