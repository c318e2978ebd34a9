"""What tells a face set from another, wherever it lies."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfr_kit import remote
from mfr_kit.data.face_set import content
from mfr_kit.data.face_set.faceset_files import ROWS
from mfr_kit.data.face_set.mapped_rows import MappedRows
from mfr_kit.data.face_set.rows import Rows
from mfr_kit.data.face_set.storage import rec_path
from mfr_kit.errors import KitError

NAMES = ("key", "identity", "condition", "clean_key")


def fingerprint_of(
    folder: Path, rows: Rows, skipped: list[dict], encoded: Callable[[int], bytes]
) -> str:
    """SHA-256 over names, conditions, masks and image digests of rows: equal for equal faces.

    An image that was replaced since the set was made counts as what it is now (see content.py).

    Args:
        folder: of the set.
        rows: of the set, or of a selection.
        skipped: rows in `SKIPPED_COLUMNS`.
        encoded: reads the image file of a row, as it is stored.
    """
    replaced = _find_replaced(folder, rows, encoded)
    if not replaced and isinstance(rows, MappedRows) and rows.extent:
        return rows.file.record[rows.extent]
    return hash_rows(rows, skipped, replaced)


def hash_rows(rows: Rows, skipped: list[dict], replaced: dict[int, str] | None = None) -> str:
    """Compute a fingerprint, a part of the rows at a time.

    Args:
        rows: to hash.
        skipped: rows in `SKIPPED_COLUMNS`.
        replaced: digests that images have, by row, in place of those of the table.
    """
    digest = hashlib.sha256()
    for name in NAMES:
        _update(digest, rows.slices(name))
    _update(digest, _digests(rows, replaced or {}))
    for row in skipped:
        facts = "\t".join(row[name] for name in ("source", "identity", "condition", "reason"))
        digest.update(facts.encode() + b"\n")
    return digest.hexdigest()


def _update(digest, parts: Iterable[pa.Array]) -> None:
    """Hash texts as lines, and a NUL after the last."""
    first = True
    for part in parts:
        if not first:
            digest.update(b"\n")
        ends = pa.array([0, len(part)], pa.int32())
        whole = pa.ListArray.from_arrays(ends, part.cast(pa.string()))
        digest.update(pc.binary_join(whole, "\n")[0].as_buffer())
        first = False
    digest.update(b"\0")


def _digests(rows: Rows, replaced: dict[int, str]) -> Iterator[pa.Array]:
    """Yield the digests of the images as they are."""
    places, start = np.array(sorted(replaced), np.int64), 0
    for part in rows.slices("digest"):
        own = places[slice(*np.searchsorted(places, (start, start + len(part))))]
        if len(own):
            texts = part.to_pylist()
            for row in own.tolist():
                texts[row - start] = replaced[row]
            yield pa.array(texts, pa.string())
        else:
            yield part
        start += len(part)


def _find_replaced(folder: Path, rows: Rows, encoded: Callable[[int], bytes]) -> dict[int, str]:
    """Find the images that are not those of the table; says on the screen how many there are. Of a
    set behind a URL the table is believed: asking would download every image.

    Raises:
        KitError: such a set lists no digests.
    """
    if remote.origin(folder) is not None:
        if not all(_texts(rows, "digest")):
            raise KitError(
                f"{remote.origin(folder)}: {ROWS} lists images without a digest, by which a set "
                "behind a URL is told from another: download it"
            )
        return {}
    lines: Iterable[str]
    if isinstance(rows, MappedRows):
        everything = MappedRows(rows.file)
        known = f"all rows of {rows.file.record['table']}"
        if rows.in_records and content.are_as_listed([known], _paths(folder, everything)):
            return {}
        lines = [known if rows.digest() == "all" else f"{rows.digest()} of {known}"]
    else:
        lines = _lines(rows)
    paths = _paths(folder, rows)
    replaced = content.find_replaced(lines, _texts(rows, "digest"), len(rows), paths, encoded)
    _say_replaced(folder, rows, replaced)
    return replaced


def _paths(folder: Path, rows: Rows) -> Iterable[str]:
    """Name the files that hold the images of rows."""
    if rows.in_records:
        return [str(rec_path(folder, shard)) for shard in rows.shards()]
    return (f"{folder}/{key}" for key in _texts(rows, "key"))


def _lines(rows: Rows) -> Iterator[str]:
    """Name where each image is, and its digest."""
    places = _texts(rows, "key")
    if rows.in_records:
        numbers = (rows.column(name).to_pylist() for name in ("shard", "record"))
        places = (f"{shard} {record}" for shard, record in zip(*numbers, strict=True))
    for place, digest in zip(places, _texts(rows, "digest"), strict=True):
        yield f"{place}\n{digest}"


def _texts(rows: Rows, name: str) -> Iterator[str]:
    for part in rows.slices(name):
        yield from part.to_pylist()


def _say_replaced(folder: Path, rows: Rows, replaced: dict[int, str]) -> None:
    if not replaced:
        return
    order = sorted(replaced)
    listed = rows.take(np.array(order)).column("digest").to_pylist()
    claimed = [row for row, digest in zip(order, listed, strict=True) if digest]
    if claimed:
        difference = f"{len(claimed)} of its {len(rows)} images are not those that {ROWS} names"
        line = f"note: {folder}: {difference} (first {rows.key(claimed[0])}): taken as they are now"
        print(line, file=sys.stderr)
