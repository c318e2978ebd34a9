"""InsightFace's training sets: `NAME.rec`, `NAME.idx`, `property`; with a header record 0 (then one
record a person follows the images)
or without.

The format holds numbers only; `NAME.people.txt` beside it, where there is one, names the labels 0,
1, 2 ... line by line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from mfr_kit import files
from mfr_kit.data.face_set.storage import masked_records
from mfr_kit.data.formats._names import (
    mark_masked,
    masked_file,
    people_file,
    read_masked,
    read_names,
    refuse_names,
    write_masked,
    write_names,
)
from mfr_kit.data.formats._record_labels import (
    check_label,
    labels_of_images,
    labels_of_ranges,
    read_header,
    read_record,
)
from mfr_kit.data.images import decode_rgb
from mfr_kit.data.record_ranges import AnyRecords, open_records
from mfr_kit.data.record_writer import RecordWriter
from mfr_kit.data.recordio import pack
from mfr_kit.data.text_lines import beside, read_lines
from mfr_kit.data.training_set import TrainingSet
from mfr_kit.errors import KitError, SetError

EXACT = 1 << 24  # float32, which holds labels and the header's keys, is exact up to here


def recognises(path: Path) -> bool:
    """A .rec file (in any letter case), or a folder with one in it."""
    return path.suffix.lower() == ".rec" or (path.is_dir() and bool(_recs(path)))


def open_set(path: Path) -> TrainingSet:
    """Open a set of either kind.

    With a header record the labels come from the per-person records where these cover every image
    once (no image is touched), and each is checked against the image's own when the image is read.
    Otherwise all images' headers are read, and records that have none (empty, cut) become rows of
    `skipped`.

    Raises:
        KitError: damaged file, or a label that is no whole number, negative, or not below the
            `classes` of `property`.
    """
    path = _the_rec(path)
    reader = open_records(path)
    span = read_header(reader, EXACT)
    keys = reader.keys if span is None else range(1, span[0])
    names, classes = read_names(path), read_classes(path)
    limit = min(
        limit for limit in (len(names) if names else None, classes, EXACT) if limit is not None
    )
    labels = None if span is None else labels_of_ranges(reader, *span, limit, EXACT)
    problems: dict[int, str] = {}
    if labels is None:
        labels, problems = labels_of_images(reader, keys, limit)
    if problems:
        readable = np.array([key for key in keys if key not in problems], np.int64)
        keys = cast("Sequence[int]", readable)
    people = names or _Numbers(int(labels.max()) + 1 if len(labels) else 0)
    masked, clean = _masked(path, keys, labels)
    skipped = tuple(_skipped(key, problem) for key, problem in problems.items())
    return TrainingSet(
        path,
        people,
        labels,
        _Keys(keys, labels, people),
        _Images(reader, keys, labels, limit),
        masked,
        clean,
        skipped=skipped,
    )


def outputs(path: Path) -> list[Path]:
    """Name what `write_set` makes of its own (`property` may be there already, if it says the
    same).
    """
    return [path, path.with_suffix(".idx"), people_file(path), masked_file(path)]


def side_files(path: Path) -> list[str]:
    """Name what lies beside a .rec and belongs to it, but its index and its images."""
    return [people_file(path).name, masked_file(path).name, "property", "faces.parquet"]


def write_set(path: Path, source: TrainingSet, header: bool = True) -> None:
    """Write a set, people in order and numbered anew from 0, images' bytes unchanged; `property`
    gets the size of the first image.

    Args:
        path: ends in .rec.
        source: what to write.
        header: write record 0 and the per-person records.
    Raises:
        KitError: another set's `property` is in the folder, more records than the header can count,
            or a name that no list can hold.
    """
    present = np.unique(source.labels)
    people = [source.people[label] for label in present]
    refuse_names(people, source.path)
    order, ends = source.by_person(), np.cumsum(np.unique_counts(source.labels).counts)
    if header and len(order) + len(present) + 1 > EXACT:
        raise KitError(
            f"{path}: {len(order)} images are more than a header record can count exactly: use "
            "--to recordio-plain"
        )
    about = _property_of(source)
    property_is_new = refuse_other_property(path, about)
    row = np.searchsorted(present, source.labels)
    key_of = np.empty(len(order), np.int64)
    key_of[order] = np.arange(len(order)) + int(header)
    made = []
    try:
        with RecordWriter(path) as writer:
            if header:
                writer.write(0, pack((len(order) + 1, len(order) + 1 + len(present)), b""))
            for key, index in enumerate(order.tolist(), int(header)):
                writer.write(key, pack(float(row[index]), source.encoded(index), key))
            if header:
                for person, end in enumerate(ends):
                    start = ends[person - 1] if person else 0
                    writer.write(
                        len(order) + 1 + person,
                        pack((start + 1, end + 1), b"", len(order) + 1 + person),
                    )
            made += [people_file(path), masked_file(path)]
            write_names(path, people)
            _write_masked(path, source, order, key_of)
            if property_is_new:
                made.append(path.with_name("property"))
                files.write_text(path.with_name("property"), about + "\n")
    except BaseException:
        for file in made:
            file.unlink(missing_ok=True)
        raise


def refuse_place(path: Path, source: TrainingSet) -> None:
    """Refuse a folder whose `property` is that of other people or images.

    Raises:
        KitError: it is.
    """
    refuse_other_property(path, _property_of(source))


def _property_of(source: TrainingSet) -> str:
    size = (112, 112)
    if len(source):
        first = source.by_person()[0]
        size = decode_rgb(source.encoded(first), f"{source.path}: {source.names[first]}").shape[:2]
    return f"{len(np.unique(source.labels))},{size[0]},{size[1]}"


def refuse_other_property(path: Path, about: str) -> bool:
    """Refuse a folder whose `property` says something else; True where there is none yet."""
    file = path.with_name("property")
    if not file.exists():
        return True
    text = file.read_text(encoding="ascii", errors="replace").strip()
    if text.partition("\n")[0].strip() != about:
        raise KitError(f"{file} belongs to another set: give this one a folder of its own")
    return False


def _write_masked(path: Path, source: TrainingSet, order: np.ndarray, key_of: np.ndarray) -> None:
    if source.masked is None or not source.masked.any():
        return
    rows = []
    for index in order.tolist():
        if source.is_masked(index):
            clean = source.clean_row(index)
            rows.append((int(key_of[index]), int(key_of[clean]) if clean >= 0 else None))
    write_masked(path, rows)


def _masked(path: Path, keys: Sequence[int], labels: np.ndarray) -> tuple:
    """Find what lies beside a .rec and says which of its faces are masked: its own list, or the
    face set that it is a shard of.
    """
    found, where = read_masked(path), masked_file(path)
    if found is None:
        found, where = masked_records(path), path.with_name("faces.parquet")
    if not found:
        return None, None
    return mark_masked(keys, labels, found, where)


def _skipped(key: int, problem: str) -> dict:
    row = {"source": f"{key:08d}", "identity": "", "condition": "nonmask", "clean_key": ""}
    return {**row, "reason": "unreadable", "detail": problem}


def _recs(folder: Path) -> list[Path]:
    return sorted(
        item for item in folder.iterdir() if item.suffix.lower() == ".rec" and item.is_file()
    )


def _the_rec(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = _recs(path)
    if len(found) != 1:
        raise KitError(f"{path} holds {len(found)} .rec files: name the one you mean")
    return found[0]


def read_classes(path: Path) -> int | None:
    """Read how many people `property` beside a .rec announces, None where there is none.

    Raises:
        KitError: its first line is not `classes,height,width`, or a second one is no number of
            images.
    """
    file = beside(path, "property")
    if file is None:
        return None
    lines = [line for line in read_lines(file, "the set's properties") if line.strip()]
    fields = lines[0].split(",") if lines else []
    digits = [field.strip() for field in (*fields, *lines[1:])]
    if (
        len(fields) != 3
        or len(lines) > 2
        or not all(field.isascii() and field.isdigit() and len(field) < 19 for field in digits)
    ):
        raise KitError(
            f"{file}: `classes,height,width` expected, and at most the number of images on a "
            "line of its own, "
            f"found {' '.join(lines)[:60]!r}"
        )
    return int(fields[0])


@dataclass(frozen=True)
class _Numbers(Sequence[str]):
    """The names of people who have none: 000000, 000001 ..."""

    people: int

    def __len__(self) -> int:
        return self.people

    def __getitem__(self, row: int) -> str:  # type: ignore[override]  # nobody slices it
        if not 0 <= row < self.people:
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

    def __getitem__(self, row: int) -> str:  # type: ignore[override]  # nobody slices it
        return f"{self.people[self.labels[row]]}/{self.keys[row]:08d}"


@dataclass(frozen=True)
class _Images:
    """The `encoded` of a set: read, and check the image's own label."""

    reader: AnyRecords
    keys: Sequence[int]
    labels: np.ndarray
    limit: int

    def __call__(self, row: int) -> bytes:
        key = int(self.keys[row])
        record = read_record(self.reader, key)
        label = check_label(self.reader, key, record, self.limit)
        if label != self.labels[row]:
            problem = f"its own label is {label}, but the per-person records say {self.labels[row]}"
            raise SetError(
                f"{self.reader.path}: key {key}, offset {self.reader.offset(key)}: {problem}"
            )
        return bytes(record.data)
