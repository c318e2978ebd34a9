"""`augment --engine ray`: actors that load detector and masks once and make a shard at a time."""

import itertools
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mfr_kit import __version__, cluster
from mfr_kit.augment.crew import load_maker, start_crew
from mfr_kit.augment.job import Job
from mfr_kit.augment.shards import step_through
from mfr_kit.augment.workplace import Say, keep_quiet
from mfr_kit.cluster import Pool, capacity
from mfr_kit.errors import KitError

REPORT_S = 1.0  # thousands of actors must not drown the process that listens to them


@contextmanager
def start_actors(
    job: Job, workers: int | None, say: Say = keep_quiet
) -> Iterator[Callable[[Callable[[int], None]], int]]:
    """Start actors on the cluster that this process is connected to (`mfr_kit.cluster.connect`).

    Args:
        job: what they work at; SRC and DST lie on a disk that all machines share.
        workers: actors; None takes one per CPU of the cluster, or per GPU.
        say: is told what is lost, and what stays idle.
    Yields:
        what makes all shards: it is given what is told how many photographs are done, and returns
        how many an earlier run had done.
    Raises:
        KitError: the cluster has no GPU where one is needed.
    """
    everywhere, shards = _with_absolute_paths(job), job.target.shards
    size, resources = share(job, workers, capacity("CPU"), capacity("GPU"))
    if shards < size:
        say(f"note: --shards {shards}: {size - shards} of {size} actors would have no work")
    with Pool(ShardMaker, (everywhere,), min(size, shards), say, **resources) as pool:
        yield lambda progress: _make_all(pool, shards, progress)


def share(job: Job, workers: int | None, cpus: float, gpus: float) -> tuple[int, dict[str, float]]:
    """Say how many actors share a cluster, and what each takes of it; see `cluster.share`."""
    return cluster.share(job.alignment.provider is not None, workers, cpus, gpus)


class ShardMaker:
    """An actor (see `mfr_kit.cluster.Worker`)."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def load(self) -> str:
        """Load detector and masks.

        Raises:
            KitError: another version of the kit, or DST.part or a model is not on this machine.
        """
        import cv2

        cv2.setNumThreads(1)  # actors are the parallelism
        place, building = socket.gethostname(), self._job.target.building
        wanted = self._job.about["kit_version"]
        if wanted != __version__:
            raise KitError(
                f"{place} has version {__version__} of the kit, not {wanted}: install it"
            )
        if not building.is_dir():
            raise KitError(
                f"{place} does not see {building}: SRC and DST have to lie on a disk that all "
                "machines share, at the same path"
            )
        self._maker = load_maker(self._job)
        return place

    def work(self, task: int, again: bool) -> Iterator[int]:
        """Make a shard and yield how many of its photographs are done, about once a second."""
        with start_crew(self._job, 0, self._maker) as crew:
            yield from _now_and_then(
                itertools.accumulate(step_through(self._job, task, crew, patient=again))
            )


def _now_and_then(numbers: Iterable[int]) -> Iterator[int]:
    """The first number, the last, and one about every second between them."""
    due, number = 0.0, 0
    for number in numbers:
        if time.monotonic() >= due:
            yield number
            due = time.monotonic() + REPORT_S
    yield number


def _make_all(pool: Pool, shards: int, progress: Callable[[int], None]) -> int:
    first: dict[int, int] = {}  # photographs of each shard that an earlier run had done
    done: dict[int, int] = {}

    def report(shard: int, photos: int) -> None:
        before = done.setdefault(shard, first.setdefault(shard, photos))
        done[shard] = photos
        progress(photos - before)

    pool.work_through(range(shards), report)
    return sum(first.values())


def _with_absolute_paths(job: Job) -> Job:
    """An actor works in another folder."""

    def absolute(path: Path | None) -> Path | None:
        return path if path is None else path.absolute()

    selection, model = job.selection, job.alignment.model
    return replace(
        job,
        selection=replace(
            selection,
            src=selection.src.absolute(),
            people=absolute(selection.people),
            exclude=absolute(selection.exclude),
        ),
        alignment=replace(
            job.alignment,
            # a model pack's name is no path
            model=absolute(model) if model and model.exists() else model,
        ),
        target=replace(job.target, dst=job.target.dst.absolute()),
    )
