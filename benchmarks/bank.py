"""Promise of the bank: reading, decoding and writing hide behind the teacher.

    python benchmarks/bank.py [--repeats 9] [--faces 256] [--batch 8] [--threads 0]

`bank_fill`: images/s of filling a bank with SFace from files (every face and its mirror image),
against a bare onnxruntime session fed with prepared batches of the same size. The faces are made
up. Exit code 1 if the promise is missed.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from mfr_kit import assets
from mfr_kit.data.alignment.align import TEMPLATE
from mfr_kit.data.face_set import faceset
from mfr_kit.data.face_set.content import digest_of
from mfr_kit.data.face_set.faceset_writer import write_rows
from mfr_kit.data.images import encode
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.onnx_models.runtime import open_session
from mfr_kit.models.preprocess import to_input
from mfr_kit.training.teacher import bank

WANTED = 0.9


def make_set(folder: Path, count: int) -> faceset.FaceSet:
    """Write smooth noise as faces of `count` people: decoding it costs what decoding a face
    costs.
    """
    rows, rng = [], np.random.default_rng(0)
    for number in range(count):
        key, data = (
            f"faces/{number:05d}/0.jpg",
            encode(rng.integers(0, 256, (14, 14, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)),
        )
        (folder / key).parent.mkdir(parents=True)
        (folder / key).write_bytes(data)
        row = {
            "key": key,
            "source": key,
            "identity": f"{number:05d}",
            "condition": faceset.NONMASK,
            "score": 1.0,
            "clean_key": "",
        }
        rows.append(
            {
                **row,
                "landmarks": TEMPLATE.ravel().tolist(),
                "similarity": faceset.ALIGNED,
                "mask": "",
                "digest": digest_of(data),
            }
        )
    write_rows(folder, [(rows, [])], {})
    return faceset.FaceSet.open(folder)


def seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--faces", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()
    teacher = load_embedder("sface", threads=given.threads)
    # the graph that ours runs
    session = open_session(assets.path("sface"), quick=True, threads=given.threads)
    name = session.get_inputs()[0].name

    with tempfile.TemporaryDirectory() as folder:
        faces = make_set(Path(folder), given.faces)
        # how long a network takes depends on what it sees
        shown = np.stack([faces.image(row) for row in range(given.batch)])
        planes = to_input(np.concatenate([shown, shown[:, :, ::-1]]), "raw_0_255")

        def bare() -> None:
            for _ in range(0, given.faces, given.batch):
                session.run(None, {name: planes})

        bare()
        ratios, rates = [], []
        for number in range(given.repeats):
            yardstick = seconds(bare)
            ours = seconds(
                lambda at=Path(folder) / f"bank{number}": bank.fill(
                    at, faces, teacher, batch=given.batch, progress=False
                )
            )
            ratios.append(yardstick / ours)
            rates.append(2 * given.faces / ours)
    ratio = statistics.median(ratios)
    print(f"{statistics.median(rates):.1f} images/s")
    print(
        f'promise bank_fill ratio={ratio:.3f} wanted>={WANTED:.2f} yardstick="bare onnxruntime '
        'session, prepared batches"'
    )
    return int(ratio < WANTED)


if __name__ == "__main__":
    sys.exit(main())
