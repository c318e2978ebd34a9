"""Promises of sets of millions: what a training rank does before its first batch of faces.

    python benchmarks/rows.py [--shape ms1mv3] [--shape webface42m] [--folder DIR]

Makes face sets of records with the shape of MS1MV3 (5.8 million rows, 93,431 people) and of
WebFace42M (42 million rows, 2 million people). Their faces are pictures of one colour: a million
records of 250 bytes, which every shard shows again under a name of its own. The sets stay in DIR
(the system's temporary folder) for the next time; the large one takes a minute or two and 4 GB.

Each set is opened three times by a fresh process as a rank opens it: modules, rows, labels, the
order of the first pass, and the faces of the first batch, read and decoded. `first` is the opening
on a machine that has not seen the set before, `later` any other, `with_list` one that looks up a
thousand people on a list and leaves them out, which `open` then includes. Peak memory is all that
the process ever held, with the files it maps. `random_record` and `random_face` compare reading
records of a shard, and faces of the set, at random with bare `os.pread` of the same bytes. Exit
code 1 where a promise is missed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SHAPES = {"ms1mv3": (5_800_000, 93_431), "webface42m": (42_000_000, 2_059_906)}  # rows, people
SHARD_ROWS, BATCH, SAMPLE, REPEATS = 1_000_000, 128, 20_000, 9
VALIDATED = 1000  # people on the list
# seconds, seconds, MB of 10^6 bytes
WANTED = {"open": 3.0, "first_batch": 10.0, "resident": 1000.0}
# of records of 250 bytes, the cheapest to read barely; recordio.py promises 0.5 of a face's size
WANTED_READ = {"record": 0.4, "face": 0.1}


def make(folder: Path, rows: int, people: int) -> None:
    """Write a set, a shard at a time."""
    from mfr_kit import files

    with files.building(folder) as building:
        digests = make_shard(building / "faces-00000.rec", min(rows, SHARD_ROWS))
        for shard in range(1, -(-rows // SHARD_ROWS)):
            for suffix in (".rec", ".idx"):
                first = building / f"faces-00000{suffix}"
                os.link(first, building / f"faces-{shard:05d}{suffix}")
        write(building, tables(rows, people, digests))


def make_shard(path: Path, count: int) -> pa.Array:
    """Write records of one length, each unlike the others: a picture with the record's number
    behind its end.
    """
    import cv2

    from mfr_kit.data.face_set.content import digest_of
    from mfr_kit.data.recordio import frame, pack

    plain = np.full((112, 112, 3), 128, np.uint8)
    picture = cv2.imencode(".png", plain, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    offset, digests = 0, []
    with path.open("wb", 1 << 20) as rec, path.with_suffix(".idx").open("wb", 1 << 20) as index:
        for key in range(count + 1):  # record 0 is the header
            data = picture + key.to_bytes(8, "little")
            block = frame(pack(float(key), data, key) if key else pack((count + 1, 0), b""))
            rec.write(block)
            index.write(b"%d\t%d\n" % (key, offset))
            offset += len(block)
            if key:
                digests.append(digest_of(data))
    return pa.array(digests)


def tables(rows: int, people: int, digests: pa.Array) -> Iterator[pa.Table]:
    """Yield rows in the schema of a face set of records, a shard's at a time; people stand
    together, in the order of their names.
    """
    from mfr_kit.data.alignment.align import TEMPLATE
    from mfr_kit.data.face_set.faceset_files import ALIGNED, NONMASK, RECORD_COLUMNS, SCHEMA

    schema = pa.schema([*SCHEMA, *RECORD_COLUMNS])
    for start in range(0, rows, SHARD_ROWS):
        numbers = np.arange(start, min(start + SHARD_ROWS, rows))
        count = len(numbers)
        names = padded(numbers * people // rows, 7)
        source = pc.binary_join_element_wise(names, padded(numbers, 8), "/")
        points = np.tile(TEMPLATE.astype(np.float32).ravel(), count)
        frames = np.tile(np.array(ALIGNED, np.float32), count)
        columns = {
            "key": pc.binary_join_element_wise("faces/", source, ".jpg", ""),
            "source": source,
            "identity": names,
            "condition": pa.repeat(NONMASK, count),
            "landmarks": pa.ListArray.from_arrays(
                pa.array(np.arange(count + 1, dtype=np.int32) * 10), points
            ),
            "similarity": pa.FixedSizeListArray.from_arrays(frames, 4),
            "score": pa.array(np.ones(count, np.float32)),
            "clean_key": pa.repeat("", count),
            "mask": pa.repeat("", count),
            "digest": digests.slice(0, count),
            "shard": pa.array(np.full(count, start // SHARD_ROWS, np.int32)),
            "record": pa.array(np.arange(1, count + 1)),
        }
        yield pa.table(columns).cast(schema)


def padded(numbers: np.ndarray, width: int) -> pa.Array:
    """Write numbers with zeros in front."""
    return pc.ascii_lpad(pa.array(numbers).cast(pa.string()), width, "0")


def write(folder: Path, parts: Iterator[pa.Table]) -> None:
    """Write the rows as `augment` and `convert` do."""
    import itertools

    from mfr_kit import files
    from mfr_kit.data.face_set.faceset_files import ABOUT
    from mfr_kit.data.face_set.faceset_writer import RowsWriter

    first = next(parts)
    with RowsWriter(folder, first.schema) as writer:
        for part in itertools.chain([first], parts):
            writer.write(part)
        record = writer.finish()
    files.write_json(folder / ABOUT, {"rows": record})


def begin(folder: Path, val: Path | None) -> dict[str, float]:
    """Do what a rank does before its first step, in this process; returns seconds and MB.

    Args:
        folder: of the set.
        val: a list of people who are left out of training.
    """
    clock = [time.perf_counter()]
    from mfr_kit.processes import peak_mib
    from mfr_kit.training import people
    from mfr_kit.training.views.loader import BatchPlan
    from mfr_kit.training.views.order import every_face

    clock.append(time.perf_counter())
    faces = people.split(folder, people.PeopleLists(val=val), {}, echo=False).train
    clock.append(time.perf_counter())
    resident = peak_mib() * 2**20 / 1e6
    labels = faces.codes
    clock.append(time.perf_counter())
    plan = iter(BatchPlan(every_face(len(faces), 0), BATCH, 1, rank=(0, 8)))
    rows = [index for _, index in next(plan)]
    clock.append(time.perf_counter())
    for row in rows:
        faces.image(row), faces.points(row), labels[row]
    clock.append(time.perf_counter())
    modules, opened, labelled, ordered, read = np.diff(clock)
    figures = {"modules": modules, "open": opened, "labels": labelled, "order": ordered}
    figures |= {"read": read, "first_batch": sum(np.diff(clock)), "opened_mb": resident}
    return figures | {"resident": peak_mib() * 2**20 / 1e6}


def measure(folder: Path, home: Path, val: Path | None) -> dict[str, float]:
    """Run `begin` in a fresh process whose notes about files lie in `home`."""
    command = [sys.executable, __file__, "--begin", str(folder)]
    command += ["--val-people", str(val)] if val else []
    environment = {**os.environ, "MFR_KIT_HOME": str(home)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{folder}: a rank ended with code {done.returncode} ({done.stdout})")
    return json.loads(done.stdout.splitlines()[-1])


def compare_reads(folder: Path) -> tuple[float, float]:
    """The median ratios of bare reads to reads of records and of faces, of the same bytes in the
    same order.
    """
    from mfr_kit.data.face_set.faceset import FaceSet
    from mfr_kit.data.record_reader import RecordReader

    faces = FaceSet.open(folder)
    rows = np.random.default_rng(0).integers(len(faces), size=SAMPLE).tolist()
    shards = [row // SHARD_ROWS for row in rows]
    reader = RecordReader(folder / "faces-00000.rec")  # every shard is this one
    size = reader.offset(2) - reader.offset(1)
    spans = [(size, reader.offset(row % SHARD_ROWS + 1)) for row in rows]
    opened = {
        shard: os.open(folder / f"faces-{shard:05d}.rec", os.O_RDONLY) for shard in set(shards)
    }
    reads = [(opened[shard], *span) for shard, span in zip(shards, spans, strict=True)]
    ratios = []
    for _ in range(REPEATS + 1):  # the first opens the shards
        clock = [time.perf_counter()]
        for read in reads:
            os.pread(*read)
        clock.append(time.perf_counter())
        for row in rows:
            reader.read(row % SHARD_ROWS + 1)
        clock.append(time.perf_counter())
        for row in rows:
            faces.encoded(row)
        clock.append(time.perf_counter())
        bare, record, face = np.diff(clock)
        ratios.append((bare / record, bare / face))
    record, face = np.median(ratios[1:], axis=0)
    return record, face


def promise(name: str, ratio: float, sign: str, wanted: float, yardstick: str) -> bool:
    """Print one promise; returns whether it is kept."""
    print(
        f'promise {name} ratio={ratio:.2f} wanted{sign}{wanted:.2f} yardstick="{yardstick}"',
        flush=True,
    )
    return ratio <= wanted if sign == "<=" else ratio >= wanted


def judge(shape: str, folder: Path) -> bool:
    """Measure one set and print its promises."""
    kept, units = True, {"open": "s", "first_batch": "s", "resident": "MB"}
    with tempfile.TemporaryDirectory() as home:
        time.sleep(2.5)  # what was written just now is not noted (content.py)
        val = Path(home) / "val.txt"
        val.write_text("".join(f"{number:07d}\n" for number in range(VALIDATED)))
        for when in ("first", "later", "with_list"):
            found = measure(folder, Path(home), val if when == "with_list" else None)
            parts = ", ".join(f"{name} {value:.2f} s" for name, value in list(found.items())[:6])
            print(
                f"{shape} {when}: {parts}; {found['opened_mb']:.0f} MB once open, "
                f"{found['resident']:.0f} MB at the most"
            )
            for name, limit in WANTED.items():
                if (name, when) == ("open", "with_list"):
                    continue
                yardstick = f"{limit:g} {units[name]}"
                kept &= promise(f"{shape}_{name}_{when}", found[name] / limit, "<=", 1, yardstick)
    for what, ratio in zip(WANTED_READ, compare_reads(folder), strict=True):
        name = f"{shape}_random_{what}"
        kept &= promise(name, ratio, ">=", WANTED_READ[what], "os.pread of the same bytes")
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=[*SHAPES], action="append")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "mfr-kit-rows")
    parser.add_argument("--anew", action="store_true", help="make sets again that are there")
    parser.add_argument("--val-people", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--begin", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.begin:
        print(json.dumps(begin(given.begin, given.val_people)))
        return 0
    kept = True
    for shape in given.shape or ["ms1mv3", "webface42m"]:
        folder = given.folder / shape
        if given.anew:
            shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            start = time.perf_counter()
            make(folder, *SHAPES[shape])
            print(f"{shape}: made in {time.perf_counter() - start:.0f} s", flush=True)
        kept &= judge(shape, folder)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
