"""What is done of a shard, in a text file: a line of JSON for each chunk of photographs, in their
order.

One file a shard: a note a chunk would be ninety thousand files for 5.8 million photographs. A run
that was killed goes on behind the last whole line.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from mfr_kit.claims import CLAIMS, sole
from mfr_kit.data.face_set import faceset
from mfr_kit.data.face_set.storage import Position
from mfr_kit.data.photographs.photos import Photo
from mfr_kit.errors import KitError
from mfr_kit.records import check, parse_json

WORK = "work"  # folder inside DST.part that is gone when the set is whole
MOST_NOTED, FARTHEST = 1 << 16, 1e6
_TEXTS = ("key", "source", "identity", "condition", "clean_key", "mask", "digest")
ROW: dict[str, Any] = {
    **dict.fromkeys(_TEXTS, str),
    "landmarks": [float],
    "similarity": [float],
    "condition": frozenset({faceset.NONMASK, faceset.MASK}),
    "score": float,
    "shard?": int,
    "record?": int,
}
NOTE: dict[str, Any] = {
    "photos": [str],
    "count": int,
    "position": ([int], None),
    "faces": [ROW],
    "skipped": [dict.fromkeys(faceset.SKIPPED_COLUMNS, str)],
}


def journal_of(building: Path, shard: int) -> Path:
    """The file of a shard, inside the folder where the set is put together."""
    return building / WORK / f"{shard:05d}.jsonl"


def read_journal(building: Path, shard: int) -> Iterator[dict]:
    """Yield the notes of a shard, one in memory at a time.

    Raises:
        KitError: a line is damaged.
    """
    with journal_of(building, shard).open("rb") as journal:
        for number, line in enumerate(journal, 1):
            yield _note(line, f"{journal.name}: line {number}", building)


def count_done(building: Path, shard: int) -> int:
    """Count the photographs of a shard that are done; a line that a kill left unfinished is none.

    Raises:
        KitError: a line is damaged.
    """
    path, count = journal_of(building, shard), 0
    if not path.is_file():
        return 0
    with path.open("rb") as journal:
        for number, line in enumerate(journal, 1):
            if line.endswith(b"\n"):
                count += _note(line, f"{path}: line {number}", building)["count"]
    return count


def write_note(
    journal: IO[bytes],
    chunk: Sequence[Photo],
    position: Position | None,
    faces: list[dict],
    skipped: list[dict],
) -> None:
    """Note a chunk as done.

    Args:
        journal: of the shard, held.
        chunk: the photographs.
        position: how far the shard's records are written; None where faces are files.
        faces: rows for `faces.parquet`.
        skipped: rows for `skipped.csv`.
    """
    note = {
        "photos": marks(chunk),
        "count": len(chunk),
        "position": position,
        "faces": faces,
        "skipped": skipped,
    }
    journal.write(json.dumps(note, separators=(",", ":")).encode() + b"\n")
    journal.flush()


def holds_faces(building: Path) -> bool:
    """Whether an earlier run has made a face: one that has not is not worth keeping, nor in the
    way of another.
    """
    for path in sorted((building / WORK).glob("*.jsonl")):
        with hold_shard(building, int(path.stem)), path.open("rb") as journal:
            if any(b'"faces":[{' in line for line in journal):
                return True
    return False


def read_back(journal: IO[bytes], most: int | None = None) -> tuple[list[dict], Position | None]:
    """Read what is done, without its rows, and cut off a line that a kill left unfinished.

    Args:
        journal: of the shard, held.
        most: notes to believe (safe_point.py); what comes behind them is cut off; None for all.
    Returns:
        `photos`, `count` and `position` of each chunk, and how far its records are written.
    Raises:
        KitError: a line is damaged.
    """
    journal.seek(0)
    done: list[dict] = []
    whole = 0
    for line in journal:
        if not line.endswith(b"\n") or len(done) == most:
            break
        whole += len(line)
        note = _note(
            line, f"{journal.name}: line {len(done) + 1}", Path(journal.name).parent.parent
        )
        done.append({name: note[name] for name in ("photos", "count", "position")})
    journal.truncate(whole)
    last = done[-1]["position"] if done else None
    return done, Position(*last) if last else None


def _note(line: bytes, where: str, building: Path) -> dict:
    """Parse a line of a journal.

    Raises:
        KitError: damaged; names the line.
    """
    advice = f"remove {building} to start afresh"
    note = check(parse_json(line, where, advice), NOTE, where, advice)
    position, photos = note["position"], note["photos"]
    known = position is None or (len(position) == 3 and min(position) >= 0)
    shapes = {(len(row["similarity"]), len(row["landmarks"]) % 2) for row in note["faces"]}
    rows = [[row["score"], *row["similarity"], *row["landmarks"]] for row in note["faces"]]
    known = known and shapes <= {(4, 0)} and all(abs(n) <= FARTHEST for row in rows for n in row)
    placed = {name in row for row in note["faces"] for name in ("shard", "record")}
    known = known and placed <= {position is not None}
    if not known or len(photos) != 3 or not 1 <= note["count"] <= MOST_NOTED:
        raise KitError(f"{where}: counts and places that cannot be; {advice}")
    return note


def marks(chunk: Sequence[Photo]) -> list[str]:
    """First and last photograph, and a digest of all: a name that changed in between would shift
    nothing else.
    """
    digest = hashlib.blake2b(digest_size=8)
    for photo in chunk:
        digest.update(f"{photo.source}\0{photo.reason}\n".encode())
    return [chunk[0].source, chunk[-1].source, digest.hexdigest()]


@contextmanager
def hold_shard(building: Path, shard: int, patient: bool = False) -> Iterator[Callable[[], None]]:
    """Keep every other process away from a shard, on any machine that shares the disk (claims.py).

    Args:
        building: the folder where the set is put together.
        shard: its number.
        patient: wait for a process that works at it.
    Yields:
        what raises a KitError where another process has taken the shard over since.
    Raises:
        KitError: another process works at it.
    """
    name, busy = f"{shard:05d}", f"another run is writing to {building}: wait for it, or stop it"
    overtaken = (
        f"{building}: this process stood still for so long that another has taken over shard "
        f"{shard}, which goes on there"
    )
    task = f"makes shard {shard} of {building}"
    try:
        with sole(
            building / WORK / CLAIMS, name, task, "" if patient else busy, overtaken
        ) as expect_held:
            yield expect_held
    finally:
        with suppress(OSError):  # the claim has made them where the set was moved meanwhile
            (building / WORK).rmdir()
            building.rmdir()
