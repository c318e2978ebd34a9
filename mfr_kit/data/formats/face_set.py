"""The kit's own face set (`faces.parquet` and `faces/`, or `.rec` files): see
mfr_kit/data/face_set/faceset.py.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from mfr_kit import __version__, files, remote
from mfr_kit.data.alignment.align import SIZE, TEMPLATE
from mfr_kit.data.face_set.content import digest_of
from mfr_kit.data.face_set.faceset import ALIGNED, MASK, NO_FACE, NONMASK, FaceSet
from mfr_kit.data.face_set.faceset_files import SCHEMA, SKIPPED_COLUMNS
from mfr_kit.data.face_set.faceset_writer import write_rows
from mfr_kit.data.face_set.storage import ShardWriter, rec_path
from mfr_kit.data.formats._names import refuse_names, write_names
from mfr_kit.data.images import decode_rgb
from mfr_kit.data.photographs.layout import lay_out
from mfr_kit.data.training_set import GONE, TrainingSet, digest, from_codes, showing_progress
from mfr_kit.errors import KitError

CHUNK_ROWS = 4096
SHARD_IMAGES = 1_000_000  # a shard ends with the person who exceeds it: files of about 8 GB


def recognises(path: Path) -> bool:
    """A folder with a `faces.parquet`."""
    return (path / "faces.parquet").is_file()


def open_set(path: Path) -> TrainingSet:
    """Take every face of the set, masked twins too, with what the set knows of each."""
    faces = FaceSet.open(path)
    names = [key.removeprefix("faces/") for key in faces.keys]
    opened = from_codes(path, faces.names, faces.codes, names, faces.encoded)
    return replace(
        opened,
        masked=faces.masked,
        clean=faces.clean_rows,
        facts=_Rows(faces),
        skipped=tuple(faces.skipped),
    )


def write_set(
    path: Path, source: TrainingSet, in_records: bool = False, options: dict | None = None
) -> None:
    """Adopt crops that are aligned already, bytes unchanged: their landmarks are the template's,
    their score is 1.

    Args:
        path: of the new set.
        source: what to write.
        in_records: images in `.rec` files.
        options: what `faceset.json` is to say of how the set was made.
    Raises:
        KitError: an image that is not 112x112, or (in records) a person's name that a list of names
            cannot hold.
    """
    if in_records:
        refuse_names(source.people, source.path)
    place = remote.origin(source.path) or str(source.path)
    about = {"version": __version__, "options": {"src": place, **(options or {})}}
    with files.building(path) as temporary:
        chunks = _in_records(source, temporary) if in_records else _in_files(source, temporary)
        write_rows(temporary, _and_skipped(chunks, source.skipped), about, in_records)


def write_proved(
    path: Path, source: TrainingSet, in_records: bool, options: dict
) -> tuple[int, int, str]:
    """Write a face set as `write_set` does, and compare what is there with what was read.

    Returns:
        the `digest` of both.
    Raises:
        KitError: they differ, or what `write_set` raises.
    """
    with showing_progress(source) as counted:
        write_set(path, counted, in_records, options)
    wanted, found = digest(source), digest(open_set(path))
    if wanted != found:
        raise KitError(f"{path} differs from what was read ({found}, {wanted}): do not use it")
    return found


@dataclass(frozen=True)
class _Rows:
    """The `facts` of a set: a row of faces.parquet."""

    faces: FaceSet

    @functools.cached_property
    def _table(self) -> pa.Table:
        return self.faces.table

    def __call__(self, row: int) -> dict:
        return self._table.slice(row, 1).to_pylist()[0]


def _and_skipped(chunks: "Chunks", skipped: tuple[dict, ...]) -> "Chunks":
    yield from chunks
    yield [], [{name: row.get(name, "") for name in SKIPPED_COLUMNS} for row in skipped]


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
    writer: ShardWriter | None = None
    spans: list[tuple[int, int]] = []
    last, shards = None, 0
    for chunk in _chunks(source):
        for row in chunk:
            person = row["identity"]
            if person != last and (writer is None or spans[-1][1] > SHARD_IMAGES):
                if writer:
                    writer.finish(spans)
                writer, spans, shards = ShardWriter(rec_path(folder, shards)), [], shards + 1
            assert writer is not None  # nobody's name is None: the first row opens one
            key = writer.append(labels[person], row.pop("data"))
            if person == last:
                spans[-1] = (spans[-1][0], key + 1)
            else:
                spans.append((key, key + 1))
            row["shard"], row["record"], last = shards - 1, key, person
        yield chunk, []
    if writer is not None:
        writer.finish(spans)
    (folder / "property").write_text(f"{len(source.people)},{SIZE},{SIZE}\n", encoding="ascii")
    for shard in range(shards):
        write_names(rec_path(folder, shard), source.people)


def _chunks(source: TrainingSet) -> Iterator[list[dict]]:
    """Yield rows with their `data`, ordered by person."""
    keys: dict[int, str] = {}
    rows, last = [], None
    faceless = {row["source"] for row in source.skipped if row["reason"] == NO_FACE}
    for index, person, name, data in lay_out(source, beside=True):
        keys, last = ({} if person != last else keys), person
        keys[index] = f"faces/{name}"
        facts = source.facts(index) if source.facts else _adopt(source, index, data)
        clean = keys.get(source.clean_row(index), "")
        if source.clean_row(index) == GONE and facts["source"] in faceless:
            clean = facts["clean_key"]  # the clean face was not found, and skipped.csv says so
        known = {name: facts[name] for name in SCHEMA.names}
        known |= {"key": keys[index], "identity": person, "clean_key": clean}
        rows.append({**known, "digest": digest_of(data), "data": data})
        if len(rows) == CHUNK_ROWS:
            yield rows
            rows = []
    yield rows


def _adopt(source: TrainingSet, index: int, data: bytes) -> dict:
    """Fill the row of a crop that no face set knows."""
    where = f"{source.path}: {source.names[index]}"
    image = decode_rgb(data, where)
    if image.shape[:2] != (SIZE, SIZE):
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise KitError(f"{where} is {size}, not {SIZE}x{SIZE}: align it with `kit.py augment`")
    return {name: "" for name in SCHEMA.names} | {
        "source": source.names[index],
        "condition": MASK if source.is_masked(index) else NONMASK,
        "score": 1.0,
        "similarity": ALIGNED,
        "landmarks": TEMPLATE.ravel().tolist(),
    }
