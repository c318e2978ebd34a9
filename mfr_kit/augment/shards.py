"""One shard of an `augment` run: photographs in, images and a journal out; it can be killed at any
moment and goes on where it stopped.

A cluster engine runs `make_shard` for 0 .. shards-1, each by one process at a time on any machine
that sees SRC and `DST.part`, between `augment.begin` and `augment.finish`.
"""

import concurrent.futures
import functools
import hashlib
import itertools
import json
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from mfr_kit.augment.options import AugmentOptions
from mfr_kit.augment.selection import chosen_people, exclude_choice, people_of
from mfr_kit.data.face_set import faceset
from mfr_kit.data.face_set.storage import Position, ShardWriter, rec_path
from mfr_kit.data.images import encode
from mfr_kit.data.photographs.photos import Photo
from mfr_kit.errors import KitError
from mfr_kit.files import attributed_to
from mfr_kit.records import check, parse_json

WORK = "work"  # folder inside DST.part that is gone when the set is whole
CHUNK = 64  # photographs that one task of a worker makes, and one line of the journal notes
_NAME_BYTES = 250  # that leave room for `.part` in a file system's 255
AHEAD = 4  # tasks in flight for each worker
MOST_NOTED, FARTHEST = 1 << 16, 1e6
_TEXTS = ("key", "source", "identity", "condition", "clean_key", "mask", "digest")
ROW = {name: str for name in _TEXTS} | {"landmarks": [float], "similarity": [float]}
ROW |= {
    "condition": frozenset({faceset.NONMASK, faceset.MASK}),
    "score": float,
    "shard?": int,
    "record?": int,
}
NOTE = {"photos": [str], "count": int, "position": ([int], None), "faces": [ROW]}
NOTE |= {"skipped": [{name: str for name in faceset.SKIPPED_COLUMNS}]}
# rows for faces.parquet, for records with their `data`, and rows for skipped.csv
Made = tuple[list[dict], list[dict]]
Submit = Callable[[list[Photo]], "Future[Made]"]


def building_of(options: AugmentOptions) -> Path:
    """Where a set is put together before it is moved to DST."""
    name = options.dst.name
    if len(os.fsencode(name)) > _NAME_BYTES:
        mark = hashlib.blake2b(os.fsencode(name), digest_size=5).hexdigest()
        name = f"{os.fsencode(name)[: _NAME_BYTES - 11].decode(errors='ignore')}~{mark}"
    return options.dst.with_name(f"{name}.part")


def journal_of(building: Path, shard: int) -> Path:
    """The text file that notes what is done of a shard, a line of JSON for each chunk of
    photographs, in their order.

    One file a shard: a note a chunk would be ninety thousand files for 5.8 million photographs.
    """
    return building / WORK / f"{shard:05d}.jsonl"


def photos_of_shard(options: AugmentOptions, shard: int) -> Iterator[Photo]:
    """List a shard's photographs: an even share of the people, consecutive, so that a person is
    in one shard only.
    """
    found, people = people_of(options), chosen_people(options)
    excluded = exclude_choice(options)
    left_out = set() if excluded is None else set(excluded.found)
    share = people[
        shard * len(people) // options.shards : (shard + 1) * len(people) // options.shards
    ]
    return (
        photo
        for person in share
        for photo in found.entries_of(person)
        if photo.source not in left_out
    )


def make_shard(
    options: AugmentOptions,
    shard: int,
    submit: Submit | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Make the faces of a shard, or what an interrupted run left of it to make.

    Args:
        options: of the run; `begin` has laid out `DST.part`.
        shard: 0 .. options.shards - 1.
        submit: from `crew`, where one crew serves several shards.
        progress: told the number of photographs of each chunk done.
    Returns:
        the number of photographs that an earlier run had done.
    Raises:
        KitError: SRC changed since the run began, another process works at this shard, or a worker
            died.
    """
    if submit is None:
        with crew(options) as own_crew:
            return make_shard(options, shard, own_crew, progress)
    building = building_of(options)
    people = expect_people(options)
    with journal_of(building, shard).open("a+b") as journal:
        _hold(journal, building)
        done, position = _read_back(journal)
        photos = photos_of_shard(options, shard)
        for line in done:
            _expect_same(options, line["photos"], list(itertools.islice(photos, line["count"])))
        records = (
            ShardWriter(rec_path(building, shard), position) if options.format == "rec" else None
        )
        labels = {name: label for label, name in enumerate(people)} if records else {}
        try:
            for chunk, (faces, skipped) in _in_order(
                _chunked(photos), submit, max(1, AHEAD * worker_count(options)), building
            ):
                with attributed_to(building):
                    at = _store(records, shard, labels, faces) if records else None
                note = {
                    "photos": _marks(chunk),
                    "count": len(chunk),
                    "position": at,
                    "faces": faces,
                    "skipped": skipped,
                }
                with attributed_to(building):
                    journal.write(json.dumps(note, separators=(",", ":")).encode() + b"\n")
                    journal.flush()
                progress(len(chunk))
            if records:
                records.finish(_spans(building, shard))
        finally:
            if records:
                records.close()
    return sum(line["count"] for line in done)


def holds_faces(building: Path) -> bool:
    """Whether an earlier run has made a face: one that has not is not worth keeping, nor in the
    way of another.
    """
    journals = sorted((building / WORK).glob("*.jsonl"))
    for path in journals:
        with path.open("rb") as journal:
            _hold(journal, building)
            if any(b'"faces":[{' in line for line in journal):
                return True
    return False


def read_journal(building: Path, shard: int) -> Iterator[dict]:
    """Yield the notes of a shard, one in memory at a time."""
    with journal_of(building, shard).open("rb") as journal:
        for number, line in enumerate(journal, 1):
            yield _note(line, f"{journal.name}: line {number}", building)


@contextmanager
def crew(options: AugmentOptions, maker=None) -> Iterator[Submit]:
    """Start the worker processes (none where `--workers 0`); what it yields turns a chunk of
    photographs into a future of its rows.

    Without workers `maker` may stand for what `load_maker` gives.
    """
    workers = worker_count(options)
    if workers == 0:
        maker = maker or load_maker(options)
        yield lambda chunk: _done(make_chunk(maker, options, chunk))
        return
    # the same everywhere: fork does not exist on Windows and is unsafe beside threads
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context, _initialise, (options,)) as pool:
        try:
            yield lambda chunk: pool.submit(_make_here, chunk)
        finally:
            pool.shutdown(cancel_futures=True)


def worker_count(options: AugmentOptions) -> int:
    """Worker processes; 0 means the work is done in this one."""
    return options.workers if options.workers is not None else os.cpu_count() or 1


def load_maker(options: AugmentOptions):
    """Load detector and masks: the `FaceMaker` of this process."""
    from mfr_kit.augment.photograph import FaceMaker
    from mfr_kit.data.alignment.detect import load_detector
    from mfr_kit.masks import library
    from mfr_kit.masks.render import from_library

    needed = not options.aligned or options.detect
    # one look at a tight crop is no better than the template
    robust = options.alignment == "robust" or options.detect
    detector = load_detector(options.detector, options.detector_model, robust) if needed else None
    return FaceMaker(
        source=options.src,
        detector=None if options.aligned else detector,
        finder=detector if options.aligned else None,
        put_on=from_library(library.load(options.masks)),
        ratio=options.ratio,
        seed=options.seed,
        on_photo=options.draws_on_photo,
        suffix=f".{options.image}",
        upright=options.upright,
    )


_here: list = []  # the FaceMaker and the options of a worker process


def _initialise(options: AugmentOptions) -> None:
    import cv2

    cv2.setNumThreads(1)  # processes are the parallelism; threads inside them only fight
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _here.extend((load_maker(options), options))


def _die_with_parent() -> None:
    """A pool's worker waits for work for ever when its parent was killed."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _make_here(chunk: list[Photo]) -> Made:
    return make_chunk(*_here, chunk)


def make_chunk(maker, options: AugmentOptions, chunk: list[Photo]) -> Made:
    """Make a chunk's faces, and encode and store them on a thread while the next photograph is
    looked at: files can be slow to make.
    """
    store, skipped = functools.partial(_encoded, options), []
    with ThreadPoolExecutor(1) as thread:
        faces = []
        for photo in chunk:
            made, lost = maker.make(photo)
            faces += [thread.submit(store, row) for row in made]
            skipped += lost
        return [face.result() for face in faces], skipped


def _encoded(options: AugmentOptions, row: dict) -> dict:
    """Swap a row's image for its digest; what becomes a file is written here, what becomes a
    record goes back as `data`.
    """
    data = encode(row.pop("image"), Path(row["key"]).suffix)
    row["digest"] = faceset.digest_of(data)
    if options.format == "folder":
        _write(building_of(options) / row["key"], data)
    else:
        row["data"] = data
    return row


def _write(path: Path, data: bytes) -> None:
    with attributed_to(path):
        try:
            path.write_bytes(data)
        except FileNotFoundError:  # the first of its folder
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def _done(made: Made) -> "Future[Made]":
    future: Future = Future()
    future.set_result(made)
    return future


def _in_order(
    chunks: Iterator[list[Photo]], submit: Submit, most: int, building: Path
) -> Iterator[tuple[list[Photo], Made]]:
    """Yield chunks and what became of them in the order of the photographs, with `most` in
    flight: memory does not grow with the set.
    """
    flying: deque = deque()
    try:
        for chunk in chunks:
            flying.append((chunk, submit(chunk)))
            if len(flying) >= most:
                yield _land(flying)
        while flying:
            yield _land(flying)
    except BrokenProcessPool:
        told = f"the same command continues from {building}, and --workers 1 uses less memory"
        raise KitError(f"a worker process died (out of memory?): {told}") from None


def _land(flying: deque) -> tuple[list[Photo], Made]:
    chunk, future = flying.popleft()
    return chunk, future.result()


def _chunked(photos: Iterable[Photo]) -> Iterator[list[Photo]]:
    while chunk := list(itertools.islice(photos, CHUNK)):
        yield chunk


def _store(records: ShardWriter, shard: int, labels: dict[str, int], faces: list[dict]) -> Position:
    for row in faces:
        row["shard"], row["record"] = (
            shard,
            records.append(labels[row["identity"]], row.pop("data")),
        )
    return records.position()


def _spans(building: Path, shard: int) -> Iterator[tuple[int, int]]:
    """First key and one past the last of each person of a shard; a person's images are
    consecutive.
    """
    notes = read_journal(building, shard)
    rows = (row for note in notes for row in note["faces"] if note["position"] is not None)
    for _, own in itertools.groupby(rows, key=lambda row: row["identity"]):
        keys = [row["record"] for row in own]
        yield keys[0], keys[-1] + 1


def _read_back(journal) -> tuple[list[dict], Position | None]:
    """Read what is done, without its rows, and cut off a line that a kill left unfinished."""
    journal.seek(0)
    done, whole = [], 0
    for line in journal:
        if not line.endswith(b"\n"):
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
    position, marks = note["position"], note["photos"]
    known = position is None or (len(position) == 3 and min(position) >= 0)
    shapes = {(len(row["similarity"]), len(row["landmarks"]) % 2) for row in note["faces"]}
    rows = [[row["score"], *row["similarity"], *row["landmarks"]] for row in note["faces"]]
    known = known and shapes <= {(4, 0)} and all(abs(n) <= FARTHEST for row in rows for n in row)
    placed = {name in row for row in note["faces"] for name in ("shard", "record")}
    known = known and placed <= {position is not None}
    if not known or len(marks) != 3 or not 1 <= note["count"] <= MOST_NOTED:
        raise KitError(f"{where}: counts and places that cannot be; {advice}")
    return note


def _marks(chunk: list[Photo]) -> list[str]:
    """First and last photograph, and a digest of all: a name that changed in between would shift
    nothing else.
    """
    digest = hashlib.blake2b(digest_size=8)
    for photo in chunk:
        digest.update(f"{photo.source}\0{photo.reason}\n".encode())
    return [chunk[0].source, chunk[-1].source, digest.hexdigest()]


def expect_people(options: AugmentOptions) -> list[str]:
    """The people of the run, as `begin` found them: their places are the labels, and say which
    shard they are in.

    Raises:
        KitError: others are there now.
    """
    people, building = chosen_people(options), building_of(options)
    try:
        plan = json.loads((building / WORK / "plan.json").read_text(encoding="utf-8"))
        check(plan, {"found": str}, f"{building}", "remove it")
    except (OSError, ValueError, RecursionError, KitError):
        raise KitError(f"{building}: not laid out, or damaged: remove it to start afresh") from None
    if plan.get("found") != people_digest(people):
        raise KitError(
            f"{options.src} changed since the run began (other people): remove {building} to "
            "start afresh"
        )
    return people


def people_digest(people: list[str]) -> str:
    """A digest of names, in their order."""
    return hashlib.blake2b("\n".join(people).encode(), digest_size=16).hexdigest()


def _expect_same(options: AugmentOptions, marks: list[str], chunk: list[Photo]) -> None:
    if not chunk or _marks(chunk) != marks:
        raise KitError(
            f"{options.src} changed since the run began (near {marks[0]}): remove "
            f"{building_of(options)} to start afresh"
        )


def _hold(journal, building: Path) -> None:
    """Keep a second run away from this shard until the file is closed, by whatever end."""
    try:
        import fcntl
    except ImportError:
        # Windows keeps no advisory locks; nothing but the user's care is between two runs there
        return
    try:
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise KitError(f"another run is writing to {building}: wait for it, or stop it") from None
