"""`kit.py augment`: photographs to a face set, by many processes, resumable, the same bytes
every time.
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mfr_kit import cluster, files
from mfr_kit.augment import actors, shards
from mfr_kit.augment.crew import start_crew
from mfr_kit.augment.job import Job, job_of
from mfr_kit.augment.journal import WORK, count_done, read_journal
from mfr_kit.augment.options import AugmentOptions
from mfr_kit.augment.selection import chosen_people
from mfr_kit.augment.workplace import Say, begin, finish, join, keep_quiet, notes_of
from mfr_kit.data.alignment.face_choice import ALL, PROMINENT, RULES, SEVERAL
from mfr_kit.data.alignment.upright import SURE
from mfr_kit.data.face_set import faceset
from mfr_kit.progress import Progress

SHOWN = 5  # names of people in a line
FEW, UNSURE = 10, 0.4  # the least faces and share of unsure ones for a hint


@dataclass
class Summary:
    """What an augment run did."""

    counts: dict[str, int]  # faces, twins, skipped
    reasons: Counter = field(default_factory=Counter)  # why photographs were skipped
    seconds: float = 0.0
    notes: Counter = field(default_factory=Counter)  # what was done to photographs before the rest
    changed: str = ""  # how SRC changed during the run
    unsure: int = 0  # clean faces whose score leaves open whether the photograph is upright
    resumed: int = 0  # photographs that an earlier, stopped run had finished
    faces: str = PROMINENT  # which of several were taken
    people: int = 0  # in SRC, as far as they were chosen
    faceless: list[str] = field(default_factory=list)  # of them, those without a face in the set

    @property
    def note_lines(self) -> list[str]:
        """What was done to photographs, a line each with how many."""
        lines = [f"{count} {note}" for note, count in sorted(self.notes.items()) if note != SEVERAL]
        if self.faceless:
            names = ", ".join(self.faceless[:SHOWN]) + (", ..." * (len(self.faceless) > SHOWN))
            lines.append(
                f"{len(self.faceless):,} of {self.people:,} people have no face in the set, for "
                f"want of a photograph or of a face in it: {names}"
            )
        if several := self.notes[SEVERAL]:
            taken = "all were" if self.faces == ALL else f"the {self.faces} one was"
            *others, last = (rule for rule in (*RULES, ALL) if rule != self.faces)
            choice = f"--faces {', '.join(others)} or {last}"
            lines.append(f"{several} photograph(s) hold {SEVERAL}: {taken} taken ({choice})")
        return lines

    @property
    def faces_per_second(self) -> float:
        """Aligned faces written a second (twins count too), by this run."""
        return (self.counts["faces"] + self.counts["twins"]) / max(self.seconds, 1e-9)

    @property
    def hint(self) -> str:
        """What to look at in a set with many low scores; empty for another."""
        faces = self.counts["faces"]
        if faces < FEW or self.unsure < UNSURE * faces:
            return ""
        return (
            f"hint: {self.unsure:,} of {faces:,} faces have a score below {SURE} (of upright, bare "
            "ones fewer than one in five): if photographs lie on their side or upside down, "
            "`--upright` turns them, and `kit.py audit` names them"
        )


def augment(options: AugmentOptions, say: Say = keep_quiet) -> Summary:
    """Make a face set of a folder of people's folders.

    The set is built in `DST.part` and moved to DST when it is whole; an interrupted run leaves
    `DST.part`, and the same command continues there. Photographs without a face, unreadable ones
    and files that are no image are listed in `skipped.csv`.

    Raises:
        KitError: DST exists, nothing usable in SRC, or `DST.part` was begun with other options;
            with `--engine ray`, Ray is not installed or no cluster answers.
    """
    started = time.perf_counter()
    left_over = options.dst / WORK
    if left_over.is_dir():  # killed between moving the whole set to DST and tidying up
        shutil.rmtree(left_over)
        return Summary(faceset.FaceSet.open(options.dst).counts)
    job = job_of(options, say)
    summary = Summary(counts={}, faces=options.faces)
    with cluster.connected(options.engine, options.address):
        seen = begin(job, say)
        done = sum(count_done(job.target.building, shard) for shard in range(job.target.shards))
        with (
            _start_engine(job, options, say) as make_all,
            Progress(seen.entries, "augment", "photos", done=done) as progress,
        ):
            summary.resumed = make_all(progress.advance)
    summary.notes, found, unsure, seen_people = _read_notes(job)
    people = chosen_people(job.selection)
    summary.people = len(people)
    summary.faceless = [person for person in people if person not in seen_people]
    judged = options.detector.startswith("yunet") and not (options.aligned or options.upright)
    summary.unsure = unsure if judged else 0
    if found != seen.entries:
        summary.changed = (
            f"{options.src} changed during the run: {seen.entries:,} files at first, {found:,} then"
        )
    with files.attributed_to(job.target.building):
        summary.counts, summary.reasons = finish(job)
    summary.seconds = time.perf_counter() - started
    return summary


def augment_shard(options: AugmentOptions, say: Say = keep_quiet) -> str:
    """Make the `--shard` of a face set in `DST.part`, which `augment` without it finishes.

    Returns:
        a line that says what was done.
    Raises:
        KitError: as `augment`, or another process works at this shard.
    """
    assert options.shard is not None
    started = time.perf_counter()
    job = job_of(options, say)
    join(job, say)
    made: list[int] = []
    total = sum(1 for _ in shards.photos_of_shard(job.selection, options.shard, job.target.shards))
    before = count_done(job.target.building, options.shard)
    with (
        start_crew(job, options.workers) as crew,
        Progress(total, "augment", "photos", done=before) as progress,
    ):

        def advance(done: int) -> None:
            made.append(done)
            progress.advance(done)

        resumed = shards.make_shard(job, options.shard, crew, advance)
    seconds = time.perf_counter() - started
    earlier = f" (and {resumed} by an earlier run)" if resumed else ""
    return (
        f"{job.target.building}: shard {options.shard} of {options.shards} is made, "
        f"{sum(made)} photographs{earlier} in {seconds:.1f} s; when all are, the same command "
        f"without --shard finishes {options.dst}"
    )


@contextmanager
def _start_engine(
    job: Job, options: AugmentOptions, say: Say
) -> Iterator[Callable[[Callable[[int], None]], int]]:
    """Yield what makes all shards, is given a function that is told how many photographs are done,
    and returns how many an earlier run had done.
    """
    if options.engine == "ray":
        with actors.start_actors(job, options.workers, say) as make_all:
            yield make_all
        return
    with start_crew(job, options.workers) as crew:
        numbers = range(job.target.shards)
        yield lambda progress: sum(
            shards.make_shard(job, shard, crew, progress) for shard in numbers
        )


def _read_notes(job: Job) -> tuple[Counter, int, int, set[str]]:
    """What was done to photographs, how many entries of the people's folders the run went
    through, how many clean faces have an unsure score, and who has a face.
    """
    notes: Counter[str] = Counter()
    people: set[str] = set()
    count = unsure = 0
    for shard in range(job.target.shards):
        for line in read_journal(job.target.building, shard):
            count += line["count"]
            notes.update(notes_of(line["faces"]))
            people.update(row["identity"] for row in line["faces"])
            unsure += sum(row["score"] < SURE for row in line["faces"] if not row["clean_key"])
    return notes, count, unsure, people
