"""Who the images of a `.rec` show, by its per-person records or by the images' own headers."""

from collections.abc import Sequence

import numpy as np

from mfr_kit.data.record_ranges import AnyRecords
from mfr_kit.data.recordio import Record, unpack
from mfr_kit.errors import KitError, SetError


def read_record(reader: AnyRecords, key: int) -> Record:
    return unpack(reader.read(key), f"{reader.path}: key {key}")


def _readable(reader: AnyRecords, key: int) -> Record | None:
    """Take a record apart, None where it is empty or damaged."""
    try:
        return read_record(reader, key)
    except SetError:
        raise
    except KitError:
        return None


def read_header(reader: AnyRecords, exact: int) -> tuple[int, int] | None:
    """Return (first person's key, one past the last), None where record 0 is an image or
    missing.
    """
    if not len(reader) or reader.keys[0] != 0:
        return None
    record = _readable(reader, 0)
    if record is None or record.flag != 2 or len(record.data):
        return None
    first, stop = record.labels
    last = reader.keys[-1] + 1
    # rounded when it was written (Glint360K has 17 million images): the true keys are near
    if all(exact <= number < 1 << 40 for number in (first, stop)):
        near = [
            key
            for key in range(int(first) - 2, min(int(first) + 3, last))
            if (found := _readable(reader, key)) and found.flag == 2
        ]
        first, stop = (near[0] if near else first), last
    if not (1 <= first <= stop <= last and first == int(first) and stop == int(stop)):
        raise KitError(
            f"{reader.path}: key 0: the header record names people's keys {first:g} .. {stop:g}, "
            f"but the keys end at {last - 1}"
        )
    return int(first), int(stop)


def check_label(reader: AnyRecords, key: int, record: Record, limit: int) -> int:
    label = record.labels[0]
    if not (0 <= label < limit and label == int(label)):
        raise SetError(
            f"{reader.path}: key {key}, offset {reader.offset(key)}: label {label:g} is not one "
            f"of 0 .. {limit - 1}"
        )
    return int(label)


def labels_of_ranges(
    reader: AnyRecords, first: int, stop: int, limit: int, exact: int
) -> np.ndarray | None:
    """Label images 1 .. first-1 by the per-person (start, end) records; None where these do not
    cover each exactly once.
    """
    ranges = []
    for key in range(first, stop):
        record = _readable(reader, key)
        if record is None or record.flag != 2:
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
        or first >= exact
    ):
        return None
    labels = np.empty(first - 1, np.int32)
    for start, end in ranges:
        record = _readable(reader, int(start))
        if record is None:
            return None
        labels[int(start) - 1 : int(end) - 1] = check_label(reader, int(start), record, limit)
    return labels


def _labels_in_one_pass(reader: AnyRecords, keys: Sequence[int], limit: int) -> np.ndarray | None:
    """Read the file from end to end; None where that would not do, or anything is damaged."""
    if len(keys) != len(reader) or not isinstance(keys, range):
        return None
    labels = np.full(len(keys), -1, np.int32)
    try:
        for key, payload in reader:
            if key in keys:  # a damaged header may promise others
                record = unpack(payload, f"{reader.path}: key {key}")
                labels[keys.index(key)] = check_label(reader, key, record, limit)
    except SetError:
        raise
    except KitError:
        return None
    return labels if labels.min(initial=0) >= 0 else None


def labels_of_images(
    reader: AnyRecords, keys: Sequence[int], limit: int
) -> tuple[np.ndarray, dict[int, str]]:
    """Read every image's own label; what cannot be read is returned as key -> problem.

    Raises:
        KitError: no record at all can be read: the first one's problem.
    """
    labels = _labels_in_one_pass(reader, keys, limit)
    if labels is not None:
        return labels, {}
    found, problems, first = [], {}, None
    for key in keys:
        try:
            found.append(check_label(reader, key, read_record(reader, key), limit))
        except SetError:
            raise
        except KitError as error:
            problems[key], first = str(error), first or error
    if first is not None and len(problems) > min(1, len(found)) * max(1, len(found)):
        raise first
    return np.array(found, np.int32), problems
