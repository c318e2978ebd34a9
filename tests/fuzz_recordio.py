"""Fuzz the readers of RecordIO and of verification .bin files: `python tests/fuzz_recordio.py
[INPUTS] [SEED]`; by default a million.

Small valid files are mutated (bytes changed, cut, doubled, moved, replaced by telling numbers) and
read to the last record. Allowed outcomes: content or a KitError. Anything else, an input that takes
over two seconds, or a process that grows by over 100 MB, ends the run with exit code 1 and leaves
the input in the folder that is printed.
"""

import random
import resource
import signal
import struct
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pickle

import numpy as np

from mfr_kit.data.formats.recordio import open_set
from mfr_kit.data.record_reader import RecordReader
from mfr_kit.data.record_writer import RecordWriter
from mfr_kit.data.recordio import MAGIC_BYTES, pack, unpack
from mfr_kit.data.verification_sets.bins import read_bin
from mfr_kit.errors import KitError

TELLING = [
    MAGIC_BYTES,
    *(
        struct.pack("<I", number)
        for number in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 29, 3 << 29, (1 << 29) - 1)
    ),
]
TELLING += [struct.pack("<f", number) for number in (float("nan"), float("inf"), -1.0, 1e30)]
DIGITS = [b"0", b"9" * 18, b"9" * 25, b"-1", b"\n", b"\t", b" ", b"\r", b"x"]
SECONDS, GROWTH_KIB = 2, 100 << 10


def seeds(folder):
    """Return small valid inputs: (kind, file bytes, index bytes)."""
    images = [b"\xff\xd8\xff" + b"pixels" * number for number in range(4)]
    sets = {
        "header": [
            pack((5, 7), b""),
            *(pack(number // 2, image, number) for number, image in enumerate(images)),
            pack((1, 3), b""),
            pack((3, 5), b""),
        ],
        "plain": [pack((number, 0.5), image, number) for number, image in enumerate(images)],
        "parts": [MAGIC_BYTES * 3, b"abcd" + MAGIC_BYTES + b"e", b"", pack(1.0, MAGIC_BYTES * 2)],
    }
    for kind, records in sets.items():
        with RecordWriter(folder / "seed.rec") as writer:
            for key, record in enumerate(records):
                writer.write(key, record)
        yield kind, (folder / "seed.rec").read_bytes(), (folder / "seed.idx").read_bytes()
    arrays = [np.frombuffer(image, np.uint8) for image in images]
    for protocol in (2, 3, 4, 5):
        yield "bin", pickle.dumps((images, [True, False]), protocol), b""
        yield "bin", pickle.dumps((arrays, [np.bool_(True), np.bool_(False)]), protocol), b""


def mutate(data, telling, draw):
    """Change a few places of a file."""
    data = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        at, kind = draw.randrange(len(data) + 1), draw.randrange(6)
        if kind == 0:
            data[at : at + 1] = bytes([draw.randrange(256)])
        elif kind == 1:
            piece = draw.choice(telling)
            data[at : at + len(piece)] = piece
        elif kind == 2:
            del data[at : at + draw.choice((1, 4, 8, 40))]
        elif kind == 3:
            data[at:at] = draw.choice(telling)
        elif kind == 4:
            del data[at:]
        else:
            start = draw.randrange(len(data) + 1)
            data[at:at] = data[start : start + draw.choice((4, 16, 60))]
    return bytes(data)


def read(kind, path):
    """Read an input to its last record, in every way there is."""
    if kind == "bin":
        return [bytes(image) for image in read_bin(path)[0]]
    reader = RecordReader(path)
    for key in list(reader.keys)[:20]:
        payload = reader.read(key)
        if kind != "parts":
            unpack(payload, "a record")
    list(reader)
    if kind != "parts":
        source = open_set(path)
        return [source.encoded(row) for row in range(min(len(source), 20))]
    return None


def stop(*_):
    raise TimeoutError(f"over {SECONDS} s")


def one(kind, files, paths):
    """Write an input, read it, and return what went wrong, if anything, and whether it was
    refused.
    """
    for path, data in zip(paths, files, strict=True):
        if data is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(data)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        read(kind, paths[0])
    except KitError:
        return None, True
    except BaseException as error:  # noqa: BLE001 - any other exception is what this script looks for
        return error, False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None, False


def main(count, seed):
    draw, start, refused = random.Random(seed), time.monotonic(), 0
    folder = Path(
        tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    )
    signal.signal(signal.SIGALRM, stop)
    inputs, grown = (
        list(seeds(folder)),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + GROWTH_KIB,
    )
    for number in range(count):
        kind, data, index = draw.choice(inputs)
        what = draw.randrange(4)
        files = data if what == 0 and kind != "bin" else mutate(data, TELLING, draw), None
        if kind != "bin" and what < 3:
            files = files[0], mutate(index, DIGITS, draw) if what < 2 else index
        error, was_refused = one(kind, files, (folder / "input.rec", folder / "input.idx"))
        refused += was_refused
        if error is None and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > grown:
            error = MemoryError(f"the process grew by over {GROWTH_KIB >> 10} MB")
        if error is not None:
            print(
                f"input {number} ({kind}): {type(error).__name__}: {error}; it is kept in {folder}"
            )
            return 1
        if number % 100_000 == 99_999:
            print(
                f"{number + 1} inputs, {refused} refused, {time.monotonic() - start:.0f} s",
                flush=True,
            )
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    spent = f"{time.monotonic() - start:.0f} s, seed {seed}"
    print(
        f"{count} inputs: {refused} refused with a KitError, {count - refused} read, no crash, "
        f"hang or growth; {spent}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(
        main(
            int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000,
            int(sys.argv[2]) if len(sys.argv) > 2 else 1,
        )
    )
