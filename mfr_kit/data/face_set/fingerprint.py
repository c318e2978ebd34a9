"""What tells a face set from another, wherever it lies."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from mfr_kit.data.face_set import content
from mfr_kit.data.face_set.faceset_files import RECORD_COLUMNS, ROWS
from mfr_kit.data.face_set.storage import rec_path


def fingerprint_of(
    folder: Path, table: pa.Table, skipped: list[dict], encoded: Callable[[int], bytes]
) -> str:
    """SHA-256 over names, conditions, masks and image digests of rows: equal for equal faces.

    An image that was replaced since the set was made counts as what it is now (see content.py).

    Args:
        folder: of the set.
        table: rows in `SCHEMA`.
        skipped: rows in `SKIPPED_COLUMNS`.
        encoded: reads the image file of a row, as it is stored.
    """
    digest = hashlib.sha256()
    for name in ("key", "identity", "condition", "clean_key"):
        digest.update("\n".join(table[name].to_pylist()).encode() + b"\0")
    digest.update("\n".join(_digests(folder, table, encoded)).encode() + b"\0")
    for row in skipped:
        facts = "\t".join(row[name] for name in ("source", "identity", "condition", "reason"))
        digest.update(facts.encode() + b"\n")
    return digest.hexdigest()


def _digests(folder: Path, table: pa.Table, encoded: Callable[[int], bytes]) -> list[str]:
    """The digests of the images as they are now; says on the screen which are not those of the
    table.
    """
    digests, keys = table["digest"].to_pylist(), table["key"].to_pylist()
    places, files = keys, (f"{folder}/{key}" for key in keys)
    if RECORD_COLUMNS[0].name in table.column_names:
        shards, records = (table[field.name].to_pylist() for field in RECORD_COLUMNS)
        places = [f"{shard} {record}" for shard, record in zip(shards, records, strict=True)]
        files = (str(rec_path(folder, shard)) for shard in sorted(set(shards)))
    replaced = content.find_replaced(places, digests, files, encoded)
    claimed = [index for index in replaced if digests[index]]
    for index, now in replaced.items():
        digests[index] = now
    if claimed:
        difference = f"{len(claimed)} of its {len(keys)} images are not those that {ROWS} names"
        first = keys[min(claimed)]
        line = f"note: {folder}: {difference} (first {first}): taken as they are now"
        print(line, file=sys.stderr)
    return digests
