"""The processes that make the faces of an `augment` run."""

import concurrent.futures
import functools
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mfr_kit.augment.job import Job, Target
from mfr_kit.augment.photograph import FaceMaker
from mfr_kit.data.alignment.detect import load_detector
from mfr_kit.data.face_set.content import digest_of
from mfr_kit.data.images import encode
from mfr_kit.data.photographs.photos import Photo
from mfr_kit.errors import KitError
from mfr_kit.files import attributed_to
from mfr_kit.interrupts import serve_parent, unheard

AHEAD = 4  # tasks in flight for each worker
STORING = "faces"  # the name of the thread that stores them
# rows for faces.parquet, for records with their `data`, and rows for skipped.csv
Made = tuple[list[dict], list[dict]]


@dataclass(frozen=True)
class Crew:
    """What makes chunks of photographs into rows, in this process or in several."""

    submit: Callable[[list[Photo]], "Future[Made]"]
    most: int  # chunks in flight

    def make_in_order(
        self, chunks: Iterator[list[Photo]], building: Path
    ) -> Iterator[tuple[list[Photo], Made]]:
        """Yield chunks and what became of them in the order of the photographs, with `most` in
        flight: memory does not grow with the set.

        Raises:
            KitError: a worker died; names `building`.
        """
        flying: deque = deque()
        try:
            for chunk in chunks:
                flying.append((chunk, self.submit(chunk)))
                if len(flying) >= self.most:
                    yield _land(flying)
            while flying:
                yield _land(flying)
        except BrokenProcessPool:
            advice = f"the same command continues from {building}, and --workers 1 uses less memory"
            raise KitError(f"a worker process died (out of memory?): {advice}") from None


@contextmanager
def start_crew(
    job: Job, workers: int | None = None, maker: FaceMaker | None = None
) -> Iterator[Crew]:
    """Start the worker processes and load their models.

    Args:
        job: what they work at.
        workers: processes; 0 works in this one, None takes one per core.
        maker: stands for what `load_maker` gives, where there are no workers.
    """
    workers = worker_count(workers)
    if workers == 0:
        own = maker or load_maker(job)
        with ThreadPoolExecutor(1, STORING) as thread:
            yield Crew(lambda chunk: _done(make_chunk(own, job.target, chunk, thread)), 1)
        return
    # the same everywhere: fork does not exist on Windows and is unsafe beside threads
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context, _initialise, (job,)) as pool:

        def submit(chunk: list[Photo]) -> "Future[Made]":
            with unheard():  # it starts a process where none is idle
                return pool.submit(_make_here, chunk)

        try:
            yield Crew(submit, AHEAD * workers)
        finally:
            pool.shutdown(cancel_futures=True)


def worker_count(workers: int | None) -> int:
    """Worker processes, one per core if not said; 0 means the work is done in this one."""
    return workers if workers is not None else os.cpu_count() or 1


def load_maker(job: Job) -> FaceMaker:
    """Load detector and masks: the `FaceMaker` of this process.

    Raises:
        KitError: the detector's model is missing or broken, or a mask unknown.
    """
    from mfr_kit.masks import library
    from mfr_kit.masks.render import from_library

    how, twins = job.alignment, job.twins
    needed = not how.aligned or how.own_landmarks
    # one look at a tight crop is no better than the template
    robust = how.robust or how.own_landmarks
    detector = load_detector(how.detector, how.model, robust, how.provider) if needed else None
    return FaceMaker(
        source=job.selection.src,
        detector=None if how.aligned else detector,
        finder=detector if how.aligned else None,
        put_on=from_library(library.load(twins.masks, twins.folder)),
        ratio=twins.ratio,
        own_ratios=twins.own_ratios,
        seed=twins.seed,
        on_photo=twins.on_photo,
        suffix=job.target.suffix,
        upright=how.upright,
        faces=how.faces,
        batch=how.batch,
    )


# the FaceMaker and the target of a worker process, and its thread that stores
_here: list = []


def _initialise(job: Job) -> None:
    import cv2

    serve_parent()
    cv2.setNumThreads(1)  # processes are the parallelism; threads inside them only fight
    _here.extend((load_maker(job), job.target, ThreadPoolExecutor(1, STORING)))


def _make_here(chunk: list[Photo]) -> Made:
    maker, target, thread = _here
    return make_chunk(maker, target, chunk, thread)


def make_chunk(
    maker: FaceMaker, target: Target, chunk: list[Photo], thread: ThreadPoolExecutor
) -> Made:
    """Make a chunk's faces, and encode and store them on a thread while the next photograph is
    looked at: files can be slow to make.

    The thread is the process's, not the chunk's: OpenCV keeps some memory of each that has ended.
    """
    folder = None if target.in_records else target.building
    store = functools.partial(_store, folder)
    skipped: list[dict] = []
    faces: list[Future[dict]] = []
    for start in range(0, len(chunk), maker.batch):
        for made, left_out in maker.make_many(chunk[start : start + maker.batch]):
            faces += [thread.submit(store, row) for row in made]
            skipped += left_out
    return [face.result() for face in faces], skipped


def _store(folder: Path | None, row: dict) -> dict:
    """Swap a row's image for its digest; it is written below a folder, or without one goes back
    as `data`, for a record.
    """
    data = encode(row.pop("image"), Path(row["key"]).suffix)
    row["digest"] = digest_of(data)
    if folder is None:
        row["data"] = data
    else:
        _write(folder / row["key"], data)
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


def _land(flying: deque) -> tuple[list[Photo], Made]:
    chunk, future = flying.popleft()
    return chunk, future.result()
