"""RecordIO: `python benchmarks/recordio.py [--records N] [--folder DIR]`; by default a million
records (5.5 GB) in a temporary folder.

Writes N records of 2.9 to 8.1 KB, as 112x112 JPEGs are, and reads them back whole; then times
samples of them, interleaved with the same reads by bare `os.pread`. What is read is in the system's
cache on both sides: the reader is measured, not the disk. Peak memory is taken in fresh processes.
With MFR_KIT_MXNET_PYTHON (see tests/interop) mxnet's own reader is timed on the same file.
"""

import argparse
import hashlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mfr_kit.data.record_reader import RecordReader
from mfr_kit.data.record_writer import RecordWriter
from mfr_kit.data.recordio import pack, unpack
from mfr_kit.processes import peak_mib

REPEATS, SAMPLE, SIZES = 11, 20_000, (10_000, 100_000, 1_000_000)
MXNET = """
import random, sys, time
import mxnet as mx
path, count, sample = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
file = mx.recordio.MXIndexedRecordIO(path[:-4] + ".idx", path, "r")
keys, times = random.Random(1).sample(range(count), sample), []
for _ in range(5):
    start = time.perf_counter()
    for key in keys:
        file.read_idx(key)
    times.append(time.perf_counter() - start)
print(sorted(times)[2] / sample * 1e6)
"""


def payloads(count):
    """Yield payloads of random length, each unlike the others."""
    draw = random.Random(0)
    noise = draw.randbytes(1 << 20)
    for key in range(count):
        start = draw.randrange((1 << 20) - 8192)
        yield pack(float(key % 1000), noise[start : start + draw.randrange(2900, 8100)], key)


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def promise(name, wanted, bare, ours, count, yardstick):
    """Print one promise from interleaved repeats; return whether it is kept."""
    ratios, times = [], []
    bare(), ours()
    for _ in range(REPEATS):
        first, second = timed(bare), timed(ours)
        ratios.append(first / second)
        times.append((first, second))
    ratio = statistics.median(ratios)
    micros = [statistics.median(column) / count * 1e6 for column in zip(*times, strict=True)]
    print(
        f"  {name}: {micros[1]:.2f} us a record, yardstick {micros[0]:.2f} us; ratios "
        f"{min(ratios):.2f} .. {max(ratios):.2f}"
    )
    print(f'promise {name} ratio={ratio:.2f} wanted>={wanted} yardstick="{yardstick}"', flush=True)
    return ratio >= wanted


def measure(path, count):
    """Time random and sequential reading; return whether both promises are kept."""
    reader, sample = RecordReader(path), min(SAMPLE, count)
    keys = random.Random(1).sample(range(count), sample)
    edges = [reader.offset(key) for key in range(count)] + [path.stat().st_size]
    descriptor = os.open(path, os.O_RDONLY)
    spans = [(edges[key + 1] - edges[key], edges[key]) for key in keys]
    ordered = [(edges[key + 1] - edges[key], edges[key]) for key in range(sample)]

    def pread(reads):
        for size, offset in reads:
            os.pread(descriptor, size, offset)

    def at_random():
        for key in keys:
            reader.read(key)

    def in_order():  # the bytes are copied out of the map, as the yardstick's are out of the file
        for (_, payload), _ in zip(reader, ordered, strict=False):
            bytes(payload)

    kept = promise(
        "random_read", 0.5, lambda: pread(spans), at_random, sample, "os.pread of the same ranges"
    )
    kept &= promise(
        "sequential_read",
        0.8,
        lambda: pread(ordered),
        in_order,
        sample,
        "os.pread of each record in order",
    )
    os.close(descriptor)
    return kept


def peak(path, count):
    """Run in a fresh process: read everything in order and as much again at random; print the
    peak memory in MB.
    """
    reader = RecordReader(path)
    for _ in reader:
        pass
    keys = list(range(min(count, 200_000)))
    random.Random(2).shuffle(keys)
    for key in keys:
        reader.read(key * 7919 % count)
    print(peak_mib())


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--records", type=int, default=SIZES[-1])
    options.add_argument("--folder", type=Path)
    options.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.peak:
        return peak(given.peak, given.records)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for count in sorted({size for size in SIZES if size < given.records} | {given.records}):
            path = Path(folder) / f"{count}.rec"
            start, wanted, found = time.perf_counter(), hashlib.blake2b(), hashlib.blake2b()
            with RecordWriter(path) as writer:
                for key, payload in enumerate(payloads(count)):
                    wanted.update(payload)
                    writer.write(key, payload)
            wrote, start = time.perf_counter() - start, time.perf_counter()
            for key, payload in RecordReader(path):
                found.update(payload)
                assert unpack(payload, "a record").id == key
            back = time.perf_counter() - start
            assert wanted.digest() == found.digest(), "what was read is not what was written"
            command = [sys.executable, __file__, "--peak", str(path), "--records", str(count)]
            peak_mb = float(
                subprocess.run(command, capture_output=True, text=True, check=True).stdout
            )
            print(
                f"{count} records, {path.stat().st_size / 1e9:.2f} GB: written in {wrote:.1f} s, "
                f"read back equal in {back:.1f} s",
                end="; ",
            )
            print(f"peak memory of a reader {peak_mb:.0f} MB", flush=True)
            if count != given.records:
                path.unlink()
        kept = measure(path, given.records)
        if mxnet := os.environ.get("MFR_KIT_MXNET_PYTHON"):
            command = [
                mxnet,
                "-c",
                MXNET,
                str(path),
                str(given.records),
                str(min(SAMPLE, given.records)),
            ]
            told = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            print(f"  mxnet's own reader, the same random keys: {told:.2f} us a record")
        else:
            print("  mxnet's own reader: not timed (MFR_KIT_MXNET_PYTHON is not set)")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
