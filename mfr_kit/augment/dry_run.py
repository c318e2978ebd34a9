"""What an `augment` run will take in time, disk and memory, from a few photographs."""

import itertools
import time
from collections.abc import Iterator

from mfr_kit.augment.crew import load_maker, worker_count
from mfr_kit.augment.job import Job, job_of
from mfr_kit.augment.options import AugmentOptions
from mfr_kit.augment.shards import photos_of_shard
from mfr_kit.augment.workplace import keep_quiet, look_through
from mfr_kit.data.images import encode
from mfr_kit.data.photographs.photos import Photo
from mfr_kit.processes import peak_mib

TRIED = 32  # photographs that are measured
USUAL_MIB = 300.0  # of a process that has loaded what a worker loads, where nobody counts


def estimate(options: AugmentOptions) -> str:
    """Try a few photographs spread over SRC and say what the whole will take; nothing is written.

    Raises:
        KitError: nothing usable in SRC.
    """
    job = job_of(options)
    seen = look_through(job, keep_quiet)
    src, total = job.selection.src, seen.entries
    workers = worker_count(options.workers)
    step = max(1, total // TRIED)
    maker = load_maker(job)
    sample = list(itertools.islice(_chosen(job), 0, step * TRIED, step))
    maker.make(sample[0])  # the first face pays for loading
    started = time.perf_counter()
    made = [maker.make(photo) for photo in sample]
    sizes = [len(encode(row["image"], maker.suffix)) for faces, _ in made for row in faces]
    seconds = (time.perf_counter() - started) / len(sample) * total / max(workers, 1)
    not_found = sum(bool(skipped) for _, skipped in made)
    size_bytes = sum(sizes) / len(sample) * total
    memory_mib = (peak_mib() or USUAL_MIB) * (workers + 1 if workers else 1)
    lines = (
        *seen.lines(src),
        f"{src}: {total} files; tried {len(sample)}, of which {not_found} gave no face or no twin",
        f"time: about {seconds / 60:.1f} min with {max(workers, 1)} process(es) on this machine",
        f"disk: about {size_bytes / 2**20:.0f} MiB",
        f"memory: about {memory_mib:.0f} MiB, whatever the size of the set",
    )
    return "\n".join(lines)


def _chosen(job: Job) -> Iterator[Photo]:
    shards = job.target.shards
    return (
        photo for shard in range(shards) for photo in photos_of_shard(job.selection, shard, shards)
    )
