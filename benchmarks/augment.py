"""Promises of `kit.py augment`, photographs to aligned, masked faces.

    python benchmarks/augment.py [--photos 512] [--repeats 9] [--sizes 2000 20000]

`one_process`: photographs/s against decoding and detecting the same photographs, nothing else;
masks are drawn on the aligned face, so that both sides detect once. `two_processes`: what a second
process gains, against what it gains a bare Python loop, all in turns. The photographs are 250x250
JPEGs: ORL's faces on a background, and LFW's where MFR_KIT_DATA names them (then the worse of the
two counts). Shown beside them: masks drawn on the photograph, which needs a second detection, and
the peak memory of the whole process tree at two sizes of set. Exit code 1 if a promise is missed.
"""

import argparse
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np

from mfr_kit import assets
from mfr_kit.augment import shards, workplace
from mfr_kit.augment.crew import start_crew
from mfr_kit.augment.job import job_of
from mfr_kit.augment.options import AugmentOptions
from mfr_kit.data.alignment.detect import load_detector
from mfr_kit.data.images import encode, read_rgb

ONE_WANTED, TWO_WANTED, GROWTH_WANTED = 0.8, 0.85, 1.1
SIDE = 250


def orl_photos(folder: Path, count: int) -> Path:
    """Write ORL's faces as photographs of LFW's size, 16 a person."""
    sources = sorted(assets.path("orl-faces").glob("s*/*.pgm"))
    for number in range(count):
        photo = np.full((SIDE, SIDE, 3), 90 + number % 60, np.uint8)
        photo[35:215, 50:198] = cv2.resize(
            read_rgb(sources[number % len(sources)]), (148, 180), interpolation=cv2.INTER_CUBIC
        )
        path = folder / f"p{number // 16:05d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(photo))
    return folder


def lfw_photos(folder: Path, count: int) -> Path | None:
    """Copy the first of LFW's photographs, None where MFR_KIT_DATA does not name them."""
    images = Path(os.environ.get("MFR_KIT_DATA", "")) / "lfw" / "images"
    if not os.environ.get("MFR_KIT_DATA") or not images.is_dir():
        return None
    for path in sorted(images.glob("*/*.jpg"))[:count]:
        target = folder / path.relative_to(images)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return folder


def seconds(work: Callable, *arguments) -> float:
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def bare(paths: list[Path], detector) -> None:
    for path in paths:
        detector.detect(read_rgb(path))


@contextmanager
def ready(options: AugmentOptions):
    """Yield a function that makes the whole set with a crew that has started.

    What it made is only moved aside until the benchmark ends: ext4 makes files ten times as slowly
    for a while after many were removed.
    """
    turns = itertools.count()
    job = job_of(options)
    with start_crew(job, options.workers) as crew:

        def work() -> None:
            shards.make_shard(job, 0, crew)

        def timed() -> float:
            building = job.target.building
            if building.exists():
                building.rename(building.with_name(f"{building.name}{next(turns)}"))
            workplace.begin(job)
            return seconds(work)

        timed()
        yield timed


def loop(rounds: int) -> int:
    """Keep one core busy with Python alone."""
    total = 0
    for number in range(rounds):
        total += number * number % 7
    return total


def one_process(name: str, photos: Path, repeats: int) -> float:
    """Print what augment makes of the rate of decode + detect; return the median ratio."""
    cv2.setNumThreads(1)
    paths, detector = sorted(photos.glob("*/*.jpg")), load_detector()
    options = AugmentOptions(src=photos, dst=photos.with_name("one"), workers=0, mask_on="crop")
    ratios, on_photo, rates = [], [], []
    with (
        ready(options) as crop,
        ready(replace(options, dst=photos.with_name("drawn"), mask_on="photo")) as drawn,
    ):
        for _ in range(repeats):
            yardstick = seconds(bare, paths, detector)
            ours = crop()
            ratios.append(yardstick / ours)
            on_photo.append(yardstick / drawn())
            rates.append(len(paths) / ours)
    ratio = statistics.median(ratios)
    print(
        f"# {name}: {len(paths)} photographs, one process {statistics.median(rates):.0f} "
        f"photographs/s, {ratio:.2f} of decode + detect;",
        end=" ",
    )
    print(
        "masks drawn on the photograph and detected again (35 %): "
        f"{statistics.median(on_photo):.2f}",
        flush=True,
    )
    return ratio


def two_processes(name: str, photos: Path, repeats: int) -> float:
    """Print the gain of a second process beside a bare loop's; return the median ratio of the
    gains.
    """
    options = AugmentOptions(src=photos, dst=photos.with_name("single"), workers=1)
    ratios, gains = [], []
    with (
        ready(options) as single,
        ready(replace(options, dst=photos.with_name("double"), workers=2)) as double,
        ProcessPoolExecutor(2, get_context("spawn")) as pool,
    ):
        rounds = 4_000_000
        list(pool.map(loop, [1000] * 8))
        for _ in range(repeats):
            alone, both = single(), double()
            bare_alone = seconds(lambda: [pool.submit(loop, rounds).result() for _ in range(2)])
            bare_both = seconds(lambda: list(pool.map(loop, [rounds] * 2)))
            gains.append((alone / both, bare_alone / bare_both))
            ratios.append(gains[-1][0] / gains[-1][1])
    ours, loops = (statistics.median(column) for column in zip(*gains, strict=True))
    print(
        f"# {name}: a second process makes augment {ours:.2f} times as fast, a bare loop "
        f"{loops:.2f} times",
        flush=True,
    )
    return statistics.median(ratios)


def peak_mib(photos: Path, target: Path) -> float:
    """Run the command with two workers and return the greatest resident memory of it and its
    children together, in MiB.
    """
    kit = Path(__file__).resolve().parents[1] / "kit.py"
    command = [sys.executable, str(kit), "augment", str(photos), str(target), "--workers", "2"]
    process, highest = (
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
        0.0,
    )
    while process.poll() is None:
        highest = max(highest, tree_mib(process.pid))
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
    return highest


def tree_mib(root: int) -> float:
    """Resident memory of a process and all that it started, from /proc."""
    parents, pages = {}, {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(status.parent.name)], pages[int(status.parent.name)] = (
            int(fields[1]),
            int(fields[21]),
        )
    family, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        family, grown = family | more, bool(more)
    return sum(pages.get(pid, 0) for pid in family) * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory(folder: Path, sizes: list[int]) -> bool:
    """Print the peak memory at each size of set; return whether the largest needs no more than
    the smallest, give or take a tenth.
    """
    if not Path("/proc/self/stat").exists():
        print("# memory: not measured, this system has no /proc")
        return True
    peaks = []
    for size in sizes:
        photos = orl_photos(folder / f"{size}", size)
        peaks.append(peak_mib(photos, folder / "set"))
        shutil.rmtree(folder / "set")
        print(
            f"# {size} photographs, two workers: peak memory of the process tree {peaks[-1]:.0f} "
            "MiB",
            flush=True,
        )
    growth = peaks[-1] / peaks[0]
    print(
        f'promise augment_memory ratio={growth:.2f} wanted<={GROWTH_WANTED} yardstick="peak '
        f'memory at {sizes[0]} photographs"',
        flush=True,
    )
    return growth <= GROWTH_WANTED


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_000, 20_000], help="0 for none")
    options = parser.parse_args()
    ones, twos = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, make in (("ORL", orl_photos), ("LFW", lfw_photos)):
            photos = make(Path(folder) / name / "photos", options.photos)
            if photos is None:
                print(f"# {name}: skipped, MFR_KIT_DATA does not name a folder with lfw/")
                continue
            ones.append(one_process(name, photos, options.repeats))
            twos.append(two_processes(name, photos, options.repeats))
        one, two = min(ones), min(twos)
        print(
            f'promise one_process ratio={one:.2f} wanted>={ONE_WANTED} yardstick="decode + '
            'detector alone"'
        )
        print(
            f'promise two_processes ratio={two:.2f} wanted>={TWO_WANTED} yardstick="gain of a '
            'bare Python loop from two processes"',
            flush=True,
        )
        flat = memory(Path(folder), options.sizes) if options.sizes != [0] else True
    return 0 if one >= ONE_WANTED and two >= TWO_WANTED and flat else 1


if __name__ == "__main__":
    sys.exit(main())
