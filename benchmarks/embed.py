"""Promise of the embedding loop: reading and decoding hide behind the network.

    python benchmarks/embed.py [--repeats 9] [--faces 256] [--batch 64]

`embed`: faces/s of `embed_set` from the files of a face set (uncached), against a bare onnxruntime
session fed with prepared batches. The faces are ORL's, scaled to 112 x 112. Exit code 1 if the
promise is missed.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np

from mfr_kit import assets
from mfr_kit.data.alignment.align import SIZE, TEMPLATE
from mfr_kit.data.face_set import faceset
from mfr_kit.data.face_set.content import digest_of
from mfr_kit.data.face_set.faceset_writer import write_rows
from mfr_kit.data.images import encode, read_rgb
from mfr_kit.evaluation.inputs.embed import embed_set
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.onnx_models.runtime import open_session
from mfr_kit.models.preprocess import to_input

WANTED = 0.9


def make_set(folder: Path, count: int) -> faceset.FaceSet:
    """Write a face set of ORL's pictures, repeated where it has too few."""
    sources = sorted(assets.path("orl-faces").glob("s*/*.pgm"))
    rows = []
    for number in range(count):
        source = sources[number % len(sources)]
        key = f"faces/{source.parent.name}/{number:05d}.jpg"
        data = encode(cv2.resize(read_rgb(source), (SIZE, SIZE)))
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)
        row = {
            "key": key,
            "source": source.name,
            "identity": source.parent.name,
            "condition": "nonmask",
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


def bare(session, batches: list[np.ndarray]) -> None:
    name = session.get_inputs()[0].name
    for batch in batches:
        session.run(None, {name: batch})


def seconds(work, *arguments, **options) -> float:
    start = time.perf_counter()
    work(*arguments, **options)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--faces", type=int, default=256)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        faces = make_set(Path(folder), options.faces)
        embedder = load_embedder("sface")
        session = open_session(assets.path("sface"), quick=True)  # the graph that ours runs
        plain = open_session(assets.path("sface"))
        starts = range(0, options.faces, options.batch)
        pixels = [
            np.stack([faces.image(i) for i in range(at, min(at + options.batch, options.faces))])
            for at in starts
        ]
        batches = [to_input(batch, "raw_0_255") for batch in pixels]
        bare(session, batches[:1])
        bare(plain, batches[:1])
        ratios, rates = [], []
        for _ in range(options.repeats):
            yardstick = seconds(bare, session, batches)
            ours = seconds(embed_set, embedder, faces, batch=options.batch)
            ratios.append(yardstick / ours)
            rates.append(options.faces / ours)
        as_it_is = options.faces / statistics.median(
            seconds(bare, plain, batches) for _ in range(3)
        )
    ratio = statistics.median(ratios)
    print(
        f"# {options.faces} faces in batches of {options.batch}: {statistics.median(rates):.0f} "
        f"faces/s, the file as it is {as_it_is:.0f}"
    )
    print(
        f'promise embed ratio={ratio:.2f} wanted>={WANTED} yardstick="bare onnxruntime session, '
        'prepared batches"'
    )
    return 0 if ratio >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
