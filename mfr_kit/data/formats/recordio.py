"""InsightFace's training sets: `NAME.rec`, `NAME.idx`, `property`; with a header record 0 (then one record a person follows the images)
or without.

The format holds numbers only; `NAME.people.txt` beside it, where there is one, names the labels 0, 1, 2 ... line by line.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfr_kit.data.formats._names import read_names, write_names
from mfr_kit.data.images import decode_rgb
from mfr_kit.data.recordio import Record, RecordReader, RecordWriter, pack, unpack
from mfr_kit.data.training_set import TrainingSet
from mfr_kit.errors import KitError

EXACT = (
    1 << 24
)  # float32, in which labels and the header's keys are written, holds every whole number up to here


def recognises(path: Path) -> bool:
    """A .rec file, or a folder with one in it."""
    return path.suffix == ".rec" or (path.is_dir() and any(path.glob("*.rec")))


def open_set(path: Path) -> TrainingSet:
    """Open a set of either kind.

    With a header record the labels come from the per-person records where these cover every image once (no image is touched), and each
    is checked against the image's own when the image is read. Otherwise all images' headers are read.

    Raises:
        KitError: damaged file, or a label that is no whole number, negative, or not below the `classes` of `property`.
    """
    path = _the_rec(path)
    reader = RecordReader(path)
    span = _header(reader)
    keys = reader.keys if span is None else range(1, span[0])
    names, classes = read_names(path), _classes(path)
    limit = min(
        limit for limit in (len(names) if names else None, classes, EXACT) if limit is not None
    )
    labels = None if span is None else _labels_of_ranges(reader, *span, limit)
    if labels is None:
        labels = _labels_of_images(reader, keys, limit)
    people = names or _Numbers(int(labels.max()) + 1 if len(labels) else 0)
    return TrainingSet(
        path, people, labels, _Keys(keys, labels, people), _Images(reader, keys, labels, limit)
    )


def write_set(path: Path, source: TrainingSet, header: bool = True) -> None:
    """Write a set, people in order and numbered anew from 0, images' bytes unchanged; `property` gets the size of the first image.

    Args:
        path: ends in .rec.
        source: what to write.
        header: write record 0 and the per-person records.
    Raises:
        KitError: another set's `property` is in the folder, or more records than the header can count.
    """
    present = np.unique(source.labels)
    order, ends = source.by_person(), np.cumsum(np.unique_counts(source.labels).counts)
    if header and len(order) + len(present) + 1 > EXACT:
        raise KitError(
            f"{path}: {len(order)} images are more than a header record can count exactly: use --to recordio-plain"
        )
    shape = (
        decode_rgb(source.encoded(order[0]), f"{source.path}: {source.names[order[0]]}").shape
        if len(order)
        else (112, 112)
    )
    about = f"{len(present)},{shape[0]},{shape[1]}"
    if (path.parent / "property").exists() and (path.parent / "property").read_text(
        encoding="ascii"
    ).strip() != about:
        raise KitError(
            f"{path.parent / 'property'} belongs to another set: give this one a folder of its own"
        )
    with RecordWriter(path) as writer:
        if header:
            writer.write(0, pack((len(order) + 1, len(order) + 1 + len(present)), b""))
        row = np.searchsorted(present, source.labels)
        for key, index in enumerate(order, int(header)):
            writer.write(key, pack(float(row[index]), source.encoded(index), key))
        if header:
            for person, end in enumerate(ends):
                start = ends[person - 1] if person else 0
                writer.write(
                    len(order) + 1 + person,
                    pack((start + 1, end + 1), b"", len(order) + 1 + person),
                )
    write_names(path, [source.people[label] for label in present])
    temporary = path.with_name(f".property.{os.getpid()}.part")
    temporary.write_text(about + "\n", encoding="ascii")
    os.replace(temporary, path.parent / "property")


def _the_rec(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.rec"))
    if len(found) != 1:
        raise KitError(f"{path} holds {len(found)} .rec files: name the one you mean")
    return found[0]


def _record(reader: RecordReader, key: int) -> Record:
    return unpack(reader.read(key), f"{reader.path}: key {key}")


def _header(reader: RecordReader) -> tuple[int, int] | None:
    """Return (first person's key, one past the last), None where record 0 is an image or missing."""
    if not len(reader) or reader.keys[0] != 0:
        return None
    record = _record(reader, 0)
    if record.flag != 2 or len(record.data):
        return None
    first, stop = record.labels
    last = reader.keys[-1] + 1
    if all(
        EXACT <= number < 1 << 40 for number in (first, stop)
    ):  # rounded when it was written (Glint360K has 17 million images): the true keys are near
        near = [
            key
            for key in range(int(first) - 2, min(int(first) + 3, last))
            if _record(reader, key).flag == 2
        ]
        first, stop = (near[0] if near else first), last
    if not (1 <= first <= stop <= last and first == int(first) and stop == int(stop)):
        raise KitError(
            f"{reader.path}: key 0: the header record names people's keys {first:g} .. {stop:g}, but the keys end at {last - 1}"
        )
    return int(first), int(stop)


def _label(reader: RecordReader, key: int, record: Record, limit: int) -> int:
    label = record.labels[0]
    if not (0 <= label < limit and label == int(label)):
        raise KitError(
            f"{reader.path}: key {key}, offset {reader.offset(key)}: label {label:g} is not one of 0 .. {limit - 1}"
        )
    return int(label)


def _labels_of_ranges(reader: RecordReader, first: int, stop: int, limit: int) -> np.ndarray | None:
    """Label images 1 .. first-1 by the per-person (start, end) records; None where these do not cover each exactly once."""
    ranges = []
    for key in range(first, stop):
        record = _record(reader, key)
        if record.flag != 2:
            return None
        start, end = record.labels
        if start == end:
            continue
        if not (start < end <= first and end == int(end)):
            return None
        ranges.append((start, end))
    ranges.sort()
    edges = [1, *(end for _, end in ranges)]
    if (
        any(start != edge for (start, _), edge in zip(ranges, edges, strict=False))
        or edges[-1] != first
        or first >= EXACT
    ):
        return None
    labels = np.empty(first - 1, np.int32)
    for start, end in ranges:
        labels[int(start) - 1 : int(end) - 1] = _label(
            reader, int(start), _record(reader, int(start)), limit
        )
    return labels


def _labels_of_images(reader: RecordReader, keys: Sequence[int], limit: int) -> np.ndarray:
    if len(keys) == len(reader) and isinstance(keys, range):
        labels = np.empty(len(keys), np.int32)
        for key, payload in reader:
            labels[key] = _label(reader, key, unpack(payload, f"{reader.path}: key {key}"), limit)
        return labels
    return np.fromiter(
        (_label(reader, key, _record(reader, key), limit) for key in keys), np.int32, len(keys)
    )


def _classes(path: Path) -> int | None:
    file = path.with_name("property")
    if not file.exists():
        return None
    text = file.read_text(encoding="ascii", errors="replace").strip()
    fields = text.split(",")
    if len(fields) != 3 or not all(field.strip().isdigit() for field in fields):
        raise KitError(f"{file}: `classes,height,width` expected, found {text[:60]!r}")
    return int(fields[0])


@dataclass(frozen=True)
class _Numbers(Sequence):
    """The names of people who have none: 000000, 000001 ..."""

    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> str:
        if not 0 <= row < self.count:
            raise IndexError(row)
        return f"{row:06d}"


@dataclass(frozen=True)
class _Keys(Sequence):
    """The names of photographs that have none: `person/key`."""

    keys: Sequence[int]
    labels: np.ndarray
    people: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> str:
        return f"{self.people[self.labels[row]]}/{self.keys[row]:08d}"


@dataclass(frozen=True)
class _Images:
    """The `encoded` of a set: read, and check the image's own label."""

    reader: RecordReader
    keys: Sequence[int]
    labels: np.ndarray
    limit: int

    def __call__(self, row: int) -> bytes:
        key = self.keys[row]
        record = _record(self.reader, key)
        label = _label(self.reader, key, record, self.limit)
        if label != self.labels[row]:
            problem = f"its own label is {label}, but the per-person records say {self.labels[row]}"
            raise KitError(
                f"{self.reader.path}: key {key}, offset {self.reader.offset(key)}: {problem}"
            )
        return bytes(record.data)
