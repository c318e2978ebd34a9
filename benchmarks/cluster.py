"""Promise of `augment --engine ray`: on one machine it takes hardly longer than the local engine.

    python benchmarks/cluster.py [--photos 1024] [--repeats 9] [--minutes 3.5] [--workers N]

Both engines have `--workers` (one per core), which have started and loaded their models, and make a
set of the same photographs in turns, ORL's faces: the local engine in one shard, as it is fastest,
Ray in four a worker. The ratio is the median of the pairs' ratios of seconds, of which quartiles
are shown too; after --minutes no more pairs are begun, if there are 3. Shown beside it: the first
pass with all that starts before it, which a run pays once. Ray starts its workers with a
niceness of 15; here they have 0, for on a machine that does other work too the ratio would be that
of the priorities.
Exit code 1 if the promise is missed.
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.augment import orl_photos, seconds
from mfr_kit import cluster
from mfr_kit.augment import actors, shards, workplace
from mfr_kit.augment.crew import start_crew
from mfr_kit.augment.job import Job, job_of
from mfr_kit.augment.options import AugmentOptions

WANTED = 1.1
SHARDS_A_WORKER = 4
LEAST = 3  # pairs


@contextmanager
def local_engine(job: Job, workers: int) -> Iterator[Callable[[], None]]:
    """Yield what makes all shards by the processes of `augment`."""
    with start_crew(job, workers) as crew:

        def make_all() -> None:
            for shard in range(job.target.shards):
                shards.make_shard(job, shard, crew)

        yield make_all


@contextmanager
def ray_engine(job: Job, workers: int) -> Iterator[Callable[[], None]]:
    """Yield what makes all shards by actors."""
    with actors.start_actors(job, workers) as make_all:
        yield lambda: make_all(lambda done: None)


def timed(job: Job, make_all: Callable[[], None], turns: Iterator[int]) -> float:
    """Seconds to make the whole set anew; what was made before is moved aside, as removing many
    files slows a disk down for a while.
    """
    building = job.target.building
    if building.exists():
        building.rename(building.with_name(f"{building.name}{next(turns)}"))
    workplace.begin(job)
    return seconds(make_all)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=3.5)
    options = parser.parse_args()
    ends = time.perf_counter() + 60 * options.minutes
    os.environ.setdefault("RAY_worker_niceness", "0")
    turns, times, starts = itertools.count(), [], []
    with tempfile.TemporaryDirectory() as folder, cluster.connect("local"):
        photos = orl_photos(Path(folder) / "photos", options.photos)
        jobs = [
            job_of(
                AugmentOptions(
                    src=photos,
                    dst=Path(folder) / name,
                    shards=shard_count,
                    workers=options.workers,
                )
            )
            for name, shard_count in (("local", 1), ("ray", SHARDS_A_WORKER * options.workers))
        ]
        for job in jobs:
            workplace.begin(job)
        began = time.perf_counter()
        with local_engine(jobs[0], options.workers) as here:
            timed(jobs[0], here, turns)  # pays for loading
            starts.append(time.perf_counter() - began)
            began = time.perf_counter()
            with ray_engine(jobs[1], options.workers) as there:
                timed(jobs[1], there, turns)
                starts.append(time.perf_counter() - began)
                for number in range(options.repeats):
                    if len(times) >= LEAST and time.perf_counter() > ends:
                        break
                    pair = [(jobs[0], here), (jobs[1], there)][:: -1 if number % 2 else 1]
                    took = [timed(job, make_all, turns) for job, make_all in pair]
                    times.append(took[:: -1 if number % 2 else 1])
    ours, rays = (statistics.median(column) for column in zip(*times, strict=True))
    ratios = [ray / local for local, ray in times]
    ratio = statistics.median(ratios)
    low, _, high = statistics.quantiles(ratios, n=4)
    print(
        f"# {options.photos} photographs, {options.workers} workers: local "
        f"{options.photos / ours:.0f} photographs/s, ray {options.photos / rays:.0f}"
    )
    print(f"# {len(ratios)} pairs, the middle half of their ratios: {low:.2f} to {high:.2f}")
    print(f"# the first pass, with starting: local {starts[0]:.1f} s, ray {starts[1]:.1f} s")
    print(f'promise ray_overhead ratio={ratio:.2f} wanted<={WANTED} yardstick="the local engine"')
    return 0 if ratio <= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
