"""Promise of the training loader: two workers make batches at most of the rate at which two cores
can do the work itself.

    python benchmarks/loader.py [--repeats 9] [--faces 768] [--batch 32] [--data SET] [--records]

`loader`: faces/s that arrive in training batches from 2 workers, half the faces masked, against
what every view is made of called in a tight loop by one process on each of two cores at the same
time: read, decode, render the mask, drift and mirror, photometric draw, tensor, copy into the
batch. Each part's share is printed, so that the next thing to make faster is in plain sight. The
faces are made up, or those of --data; --records stores them in a .rec. Exit code 1 if the promise
is missed.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
import torch

from mfr_kit.data.alignment.align import TEMPLATE
from mfr_kit.data.face_set import faceset
from mfr_kit.data.face_set.content import digest_of
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.face_set.faceset_writer import write_rows
from mfr_kit.data.face_set.storage import ShardWriter, rec_path
from mfr_kit.data.images import decode_rgb, encode
from mfr_kit.masks import library
from mfr_kit.masks.render import render
from mfr_kit.seeding import rng_for
from mfr_kit.training.views import drift
from mfr_kit.training.views.loader import BatchPlan, StudentViews, batches
from mfr_kit.training.views.order import every_face
from mfr_kit.training.views.photometry import photometry, seed
from mfr_kit.training.views.view import ViewRecipe, move

WANTED, WORKERS, MASKED, WARM = 0.6, 2, 0.5, 8
RECIPE = ViewRecipe(mask_ratio=MASKED)
PARTS = ("read", "decode", "render", "drift", "photometry", "tensor", "copy")


def make_set(folder: Path, count: int, records: bool) -> FaceSet:
    """Write blocks of smooth noise as faces, four a person: decoding one costs what decoding a
    face costs.
    """
    rows, rng = [], np.random.default_rng(0)
    writer = ShardWriter(rec_path(folder, 0)) if records else None
    for number in range(count):
        small = rng.integers(0, 256, (14, 14, 3), dtype=np.uint8)
        data = encode(cv2.resize(small, (112, 112), interpolation=cv2.INTER_CUBIC))
        person = f"{number // 4:05d}"
        key = f"faces/{person}/{number % 4}.jpg"
        row = {
            "key": key,
            "source": key,
            "identity": person,
            "condition": faceset.NONMASK,
            "score": 1.0,
            "clean_key": "",
            "mask": "",
        }
        row |= {
            "landmarks": TEMPLATE.ravel().tolist(),
            "similarity": faceset.ALIGNED,
            "digest": digest_of(data),
        }
        if writer:
            row |= {"shard": 0, "record": writer.append(number // 4, data)}
        else:
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(data)
        rows.append(row)
    if writer:
        writer.finish((first, min(first + 4, count)) for first in range(0, count, 4))
    write_rows(folder, [(rows, [])], {}, records)
    return FaceSet.open(folder)


class TightLoop:
    """The parts of a view, called one after another by this process, each timed."""

    def __init__(self, faces: FaceSet, batch: int):
        self.faces, self.batch = faces, torch.empty(batch, 112, 112, 3, dtype=torch.uint8)
        self.masks, self.photometry = library.load(), photometry(RECIPE.photometric)

    def run(self, epoch: int, indices: range) -> np.ndarray:
        """Make the faces' views; returns the seconds of each part."""
        spent = np.zeros(len(PARTS))
        for place, index in enumerate(indices):
            spent += np.diff(self._one(epoch, index, place % len(self.batch)))
        return spent

    def _one(self, epoch: int, index: int, place: int) -> list[float]:
        rng, clock = rng_for(0, epoch, index), [time.perf_counter()]
        mirrored, masked = rng.random() < RECIPE.mirror, rng.random() < RECIPE.mask_ratio

        def done(value):
            clock.append(time.perf_counter())
            return value

        data = done(self.faces.encoded(index))
        image = done(decode_rgb(data, "a face"))
        image = done(
            render(image, self.faces.points(index), self.masks.draw(rng), rng)[0]
            if masked
            else image
        )
        image = done(
            move(
                image,
                drift.from_constants(rng, RECIPE.drift if masked else RECIPE.drift_clean),
                mirrored,
            )
        )
        seed(self.photometry, rng)
        image = done(self.photometry(image=image)["image"])
        tensor = done(torch.from_numpy(np.ascontiguousarray(image)))
        done(self.batch[place].copy_(tensor))
        return clock


def serve(pipe, faces: FaceSet, batch: int) -> None:
    """Be one of the two cores: wait for (epoch, indices), answer (seconds in all, seconds of
    each part); stop at None.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    loop = TightLoop(faces, batch)
    loop.run(0, range(min(64, len(faces))))
    pipe.send(None)
    while (job := pipe.recv()) is not None:
        start = time.perf_counter()
        spent = loop.run(*job)
        pipe.send((time.perf_counter() - start, spent))


def tight_rate(pipes, epoch: int, count: int) -> tuple[float, np.ndarray]:
    """Faces/s of both cores together, and the seconds of each part."""
    for number, pipe in enumerate(pipes):
        pipe.send((epoch, range(number * count // 2, (number + 1) * count // 2)))
    told = [pipe.recv() for pipe in pipes]
    return count / max(seconds for seconds, _ in told), sum(spent for _, spent in told)


def loader_rate(faces: FaceSet, batch: int, count: int, seed: int) -> float:
    """Faces/s from one batch to the last, once both workers have loaded the masks and are under
    way.
    """
    total = count // batch + WARM
    plan = BatchPlan(every_face(len(faces), seed), batch, total)
    views = iter(batches(StudentViews(faces, RECIPE, seed, (None, None)), plan, WORKERS))
    for _ in range(WARM):
        next(views)
    start = time.perf_counter()
    for _ in views:
        pass
    return (total - WARM) * batch / (time.perf_counter() - start)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--faces", type=int, default=768)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--records", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        faces = (
            FaceSet.open(given.data).clean()
            if given.data
            else make_set(Path(folder), given.faces, given.records)
        )
        count = min(given.faces, len(faces))
        pipes = []
        for _ in range(WORKERS):
            ours, theirs = multiprocessing.Pipe()
            multiprocessing.Process(
                target=serve, args=(theirs, faces, given.batch), daemon=True
            ).start()
            pipes.append(ours)
        for pipe in pipes:
            pipe.recv()
        ratios, rates, spent = [], [], np.zeros(len(PARTS))
        for number in range(given.repeats):
            base, parts = tight_rate(pipes, number, count)
            rates.append(loader_rate(faces, given.batch, count, number))
            ratios.append(rates[-1] / base)
            spent += parts
        for pipe in pipes:
            pipe.send(None)
    ratio, each_us = statistics.median(ratios), 1e6 * spent / (count * given.repeats)
    print(
        f"{statistics.median(rates):.0f} faces/s; a face: "
        + ", ".join(
            f"{n} {us:.0f} us ({us / each_us.sum():.0%})"
            for n, us in zip(PARTS, each_us, strict=True)
        )
    )
    print(
        f'promise loader ratio={ratio:.3f} wanted>={WANTED:.2f} yardstick="the parts in a tight '
        'loop on each of two cores"'
    )
    return int(ratio < WANTED)


if __name__ == "__main__":
    sys.exit(main())
