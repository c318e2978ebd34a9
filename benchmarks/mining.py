"""Promises of mining: finding everybody's nearest other identities costs little more than the
product it cannot do without.

    python benchmarks/mining.py [--classes 20000] [--repeats 9] [--size 512] [--neighbours 100]
    [--threads 0] [--growth] [--faiss]

`mining_20k`, `mining_86k` (C = 20,000 and 85,742, d = 512, K = 100; named after --classes):
`training/teacher/mining.py: nearest` against the bare product in the same row blocks, its result
thrown away. `mining_20k_memory`: the rise of resident memory. `--faiss` shows what approximate
search takes and finds (recall: the share of the exact K that it found); made-up prototypes without
any clusters are its worst case. `--growth` shows the time for a quarter, a half and the whole of C.
Exit code 1 if a promise is missed.
"""

import argparse
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch import Tensor

from mfr_kit.losses._batch import unit
from mfr_kit.training.teacher import approximate, blocks, mining

WANTED, MEMORY_MIB = 1.3, 1024


def made_up(classes: int, size: int) -> Tensor:
    """Random unit rows, on which the product and the selection cost what they cost on a
    teacher's prototypes.
    """
    return unit(torch.randn(classes, size, generator=torch.Generator().manual_seed(0)))


def bare(points: Tensor) -> None:
    """The product alone, block by block into the same memory."""
    step = max(1, blocks.BLOCK_VALUES // len(points))
    out = torch.empty(step, len(points))
    for start in range(0, len(points), step):
        rows = points[start : start + step]
        torch.mm(rows, points.T, out=out[: len(rows)])


def seconds(work, *arguments) -> float:
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def resident_mib() -> float:
    """Resident memory of this process, from Linux's /proc."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def peak_above_mib(work, *arguments) -> float:
    """The most by which resident memory rises while something runs, looked at every 5 ms."""
    before, seen, stop = resident_mib(), [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.005):
            seen.append(resident_mib() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work(*arguments)
    stop.set()
    watcher.join()
    return max(seen)


def compare_faiss(points: Tensor, count: int) -> None:
    """Print time and recall of `approximate.nearest` on these prototypes and on clustered ones."""
    spread = unit(
        points[: len(points) // 20].repeat_interleave(20, 0)
        + 0.8 * points[: len(points) // 20 * 20]
    )
    for name, rows in (("no clusters", points), ("clusters of 20", spread)):
        exact, started = mining.nearest(rows, count), time.perf_counter()
        found = approximate.nearest(rows, count)
        took = time.perf_counter() - started
        hits = sum(
            len(np.intersect1d(one, other))
            for one, other in zip(exact.numpy(), found.numpy(), strict=True)
        )
        print(f"faiss, {name}: {took:.1f} s, recall {hits / exact.numel():.3f}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classes", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--neighbours", type=int, default=100)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--faiss", action="store_true")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    points = made_up(given.classes, given.size)
    above = peak_above_mib(mining.nearest, points, given.neighbours)
    pairs = [
        (seconds(bare, points), seconds(mining.nearest, points, given.neighbours))
        for _ in range(given.repeats)
    ]
    ratio, took = (
        statistics.median(ours / base for base, ours in pairs),
        statistics.median(ours for _, ours in pairs),
    )
    product = statistics.median(base for base, _ in pairs)
    gflop = 2 * given.classes**2 * given.size / 1e9
    print(
        f"{given.classes:,} identities: {took:.1f} s, the product alone {product:.1f} s "
        f"({gflop / product:.0f} GFLOP/s)"
    )
    if given.growth:
        for part in (4, 2):
            print(
                f"{given.classes // part:,} identities: "
                f"{seconds(mining.nearest, points[: given.classes // part], given.neighbours):.1f}"
                " s"
            )
    if given.faiss:
        compare_faiss(points, given.neighbours)
    name = f"mining_{round(given.classes / 1000)}k"
    print(
        f'promise {name} ratio={ratio:.3f} wanted<={WANTED:.2f} yardstick="the bare product in '
        'the same row blocks"'
    )
    print(
        f'promise {name}_memory ratio={above / MEMORY_MIB:.3f} wanted<=1.00 yardstick="1 GiB '
        f'above the prototypes ({above:.0f} MiB)"'
    )
    return int(ratio > WANTED or above > MEMORY_MIB)


if __name__ == "__main__":
    sys.exit(main())
