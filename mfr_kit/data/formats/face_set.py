"""The kit's own face set (`faces.parquet` and `faces/`, or `.rec` files): see mfr_kit/data/faceset.py."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mfr_kit import __version__
from mfr_kit.data.align import SIZE, TEMPLATE
from mfr_kit.data.faceset import ALIGNED, NONMASK, FaceSet, digest_of, write_rows
from mfr_kit.data.formats._names import write_names
from mfr_kit.data.images import decode_rgb
from mfr_kit.data.storage import ShardWriter, rec_path
from mfr_kit.data.training_set import TrainingSet, from_names, lay_out
from mfr_kit.errors import KitError

CHUNK_ROWS = 4096
SHARD_IMAGES = 1_000_000  # a shard ends with the person who exceeds it: files of about 8 GB


def recognises(path: Path) -> bool:
    """A folder with a `faces.parquet`."""
    return (path / "faces.parquet").is_file()


def open_set(path: Path) -> TrainingSet:
    """Take every face of the set, masked twins too."""
    faces = FaceSet.open(path)
    return from_names(
        path,
        list(faces.identities),
        [key.removeprefix("faces/") for key in faces.keys],
        faces.encoded,
    )


def write_set(path: Path, source: TrainingSet, in_records: bool = False) -> None:
    """Adopt crops that are aligned already, bytes unchanged: their landmarks are the template's, their score is 1.

    Raises:
        KitError: an image that is not 112x112.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.mkdir(parents=True)
        chunks = _in_records(source, temporary) if in_records else _in_files(source, temporary)
        write_rows(
            temporary,
            chunks,
            {"version": __version__, "options": {"src": str(source.path)}},
            in_records,
        )
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


Chunks = Iterator[tuple[list[dict], list[dict]]]


def _in_files(source: TrainingSet, folder: Path) -> Chunks:
    for chunk in _chunks(source):
        for row in chunk:
            target = folder / row["key"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(row.pop("data"))
        yield chunk, []


def _in_records(source: TrainingSet, folder: Path) -> Chunks:
    """Fill shards up to `SHARD_IMAGES` images and to the end of a person."""
    labels = {name: label for label, name in enumerate(source.people)}
    writer, spans, last, shards = None, [], None, 0
    for chunk in _chunks(source):
        for row in chunk:
            person = row["identity"]
            if person != last and (writer is None or spans[-1][1] > SHARD_IMAGES):
                if writer:
                    writer.finish(spans)
                writer, spans, shards = ShardWriter(rec_path(folder, shards)), [], shards + 1
            key = writer.append(labels[person], row.pop("data"))
            if person == last:
                spans[-1] = (spans[-1][0], key + 1)
            else:
                spans.append((key, key + 1))
            row["shard"], row["record"], last = shards - 1, key, person
        yield chunk, []
    writer.finish(spans)
    (folder / "property").write_text(f"{len(source.people)},{SIZE},{SIZE}\n", encoding="ascii")
    for shard in range(shards):
        write_names(rec_path(folder, shard), source.people)


def _chunks(source: TrainingSet) -> Iterator[list[dict]]:
    """Yield rows with their `data`, ordered by person."""
    rows = []
    for index, person, name, data in lay_out(source):
        image = decode_rgb(data, f"{source.path}: {source.names[index]}")
        if image.shape[:2] != (SIZE, SIZE):
            size = f"{image.shape[1]}x{image.shape[0]}"
            raise KitError(
                f"{source.path}: {source.names[index]} is {size}, not {SIZE}x{SIZE}: align it with `kit.py augment`"
            )
        row = {
            "key": f"faces/{name}",
            "source": source.names[index],
            "identity": person,
            "condition": NONMASK,
            "score": 1.0,
        }
        row |= {
            "similarity": ALIGNED,
            "landmarks": TEMPLATE.ravel().tolist(),
            "clean_key": "",
            "mask": "",
            "digest": digest_of(data),
        }
        rows.append({**row, "data": data})
        if len(rows) == CHUNK_ROWS:
            yield rows
            rows = []
    yield rows
