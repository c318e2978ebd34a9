"""One shard of an `augment` run: photographs in, images and a journal out; it can be killed at any
moment and goes on where it stopped.

A cluster engine runs `make_shard` for 0 .. shards-1, each by one process at a time on any machine
that sees SRC and `DST.part`, between `workplace.begin` and `workplace.finish`. What the three take
can be pickled.
"""

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path

from mfr_kit.augment.crew import Crew, start_crew
from mfr_kit.augment.job import Job, Target
from mfr_kit.augment.journal import (
    hold_shard,
    journal_of,
    marks,
    read_back,
    read_journal,
    write_note,
)
from mfr_kit.augment.safe_point import SafePoint
from mfr_kit.augment.selection import Selection, chosen_people, exclude_choice, people_of
from mfr_kit.augment.workplace import expect_people
from mfr_kit.data.face_set.storage import Position, ShardWriter, rec_path
from mfr_kit.data.photographs.photos import Photo
from mfr_kit.errors import KitError
from mfr_kit.files import attributed_to

CHUNK = 64  # photographs that one task of a worker makes, and one line of the journal notes


def photos_of_shard(selection: Selection, shard: int, shards: int) -> Iterator[Photo]:
    """List a shard's photographs: an even share of the people, consecutive, so that a person is
    in one shard only.
    """
    found, people = people_of(selection), chosen_people(selection)
    excluded = exclude_choice(selection)
    left_out = set() if excluded is None else set(excluded.found)
    share = people[shard * len(people) // shards : (shard + 1) * len(people) // shards]
    return (
        photo
        for person in share
        for photo in found.entries_of(person)
        if photo.source not in left_out
    )


def make_shard(
    job: Job,
    shard: int,
    crew: Crew | None = None,
    progress: Callable[[int], None] = lambda done: None,
    workers: int | None = None,
    patient: bool = False,
) -> int:
    """Make the faces of a shard, or what an interrupted run left of it to make.

    Args:
        job: the run's; `begin` has laid out `DST.part`.
        shard: 0 .. job.target.shards - 1.
        crew: who works, where one crew serves several shards.
        progress: gets the number of photographs of each chunk done.
        workers: of a crew of its own, see `start_crew`.
        patient: wait for another process that works at this shard.
    Returns:
        the number of photographs that an earlier run had done.
    Raises:
        KitError: SRC changed since the run began, another process works at this shard, or a worker
            died.
    """
    if crew is None:
        with start_crew(job, workers) as own_crew:
            return make_shard(job, shard, own_crew, progress, patient=patient)
    with contextlib.closing(step_through(job, shard, crew, patient)) as steps:
        resumed = next(steps)
        for made in steps:
            progress(made)
    return resumed


def step_through(
    job: Job, shard: int, crew: Crew, patient: bool = False
) -> Generator[int, None, None]:
    """Make a shard as `make_shard` does, a chunk a step.

    Yields:
        the number of photographs that an earlier run had done, then that of each chunk done.
    Raises:
        KitError: as `make_shard`.
    """
    selection, target = job.selection, job.target
    building = target.building
    with contextlib.ExitStack() as stack:
        expect_held = stack.enter_context(hold_shard(building, shard, patient))
        people = expect_people(selection, building)
        journal = stack.enter_context(journal_of(building, shard).open("a+b"))
        safe = SafePoint(building, shard)
        done, position = read_back(journal, safe.believable())
        photos = photos_of_shard(selection, shard, target.shards)
        for line in done:
            again = list(itertools.islice(photos, line["count"]))
            _expect_same(selection.src, building, line["photos"], again)
        records = _open_records(target, shard, position)
        labels = {name: label for label, name in enumerate(people)} if records else {}
        try:
            safe.begin(len(done))
            yield sum(line["count"] for line in done)
            for chunk, (faces, skipped) in crew.make_in_order(_chunked(photos), building):
                with attributed_to(building):
                    expect_held()
                    at = _append(records, shard, labels, faces) if records else None
                    write_note(journal, chunk, at, faces, skipped)
                    safe.advance()
                yield len(chunk)
            if records:
                records.finish(_spans(building, shard))
        finally:
            if records:
                records.close()


def _open_records(target: Target, shard: int, position: Position | None) -> ShardWriter | None:
    return ShardWriter(rec_path(target.building, shard), position) if target.in_records else None


def _chunked(photos: Iterable[Photo]) -> Iterator[list[Photo]]:
    while chunk := list(itertools.islice(photos, CHUNK)):
        yield chunk


def _append(
    records: ShardWriter, shard: int, labels: dict[str, int], faces: list[dict]
) -> Position:
    for row in faces:
        row["shard"] = shard
        row["record"] = records.append(labels[row["identity"]], row.pop("data"))
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


def _expect_same(src: Path, building: Path, wanted: list[str], chunk: list[Photo]) -> None:
    if not chunk or marks(chunk) != wanted:
        raise KitError(
            f"{src} changed since the run began (near {wanted[0]}): remove {building} to "
            "start afresh"
        )
