"""Writing features against a bare onnxruntime loop: `python benchmarks/features.py [--faces N]`.

A list of N JPEG faces (20,000 by default), a quarter-width MobileFaceNet. The bare loop reads,
decodes and runs the same batches over a sample, with nothing written or checked; the writer's own
time is taken over the same sample, interleaved. Peak memory is taken in fresh processes at a tenth
of the faces and at all of them.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np

from mfr_kit.data.images import encode
from mfr_kit.models import preprocess
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.onnx_models.runtime import open_session
from mfr_kit.models.weights import build_backbone
from mfr_kit.processes import peak_mib
from mfr_kit.submission.embeddings import BATCH, write_features
from mfr_kit.submission.export import colour_faces, export_module
from mfr_kit.submission.sources import open_source

REPEATS, SAMPLE = 9, 2000


def make(folder, count):
    """Write `count` faces (64 kinds, copied) and their list, and the model."""
    export_module(
        build_backbone("mobilefacenet", 128, 0.25),
        folder / "model.onnx",
        {preprocess.META_NORMALISATION: "minus1_to_1"},
    )
    kinds = [encode(cv2.GaussianBlur(face, (9, 9), 3)) for face in colour_faces(64)]
    for index in range(count):
        (folder / f"{index}.jpg").write_bytes(kinds[index % 64])
    for name, size in (("all", count), ("tenth", count // 10), ("sample", min(SAMPLE, count))):
        (folder / f"{name}.txt").write_text("".join(f"{index}.jpg\n" for index in range(size)))


def ours(folder, which):
    write_features(
        load_embedder(folder / "model.onnx"),
        open_source(folder / f"{which}.txt"),
        folder / f"{which}.npy",
        "npy",
    )


def bare(folder):
    session = open_session(folder / "model.onnx", quick=True)  # the graph that ours runs
    names = (folder / "sample.txt").read_text().split()
    for start in range(0, len(names), BATCH):
        faces = np.stack(
            [cv2.imread(str(folder / name))[:, :, ::-1] for name in names[start : start + BATCH]]
        )
        planes = (
            np.ascontiguousarray(faces.transpose(0, 3, 1, 2), dtype=np.float32) - 127.5
        ) / 127.5
        session.run(None, {"input": planes})


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_of(folder, which):
    call = [sys.executable, __file__, "--peak", str(folder), which]
    return float(
        subprocess.run(call, check=True, capture_output=True, text=True).stdout.split()[-1]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=20_000)
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        ours(Path(options.peak[0]), options.peak[1])
        print(peak_mib())
        return 0
    folder = Path(tempfile.mkdtemp())
    try:
        make(folder, options.faces)
        bare(folder), ours(folder, "sample")
        ratios = []
        for _ in range(REPEATS):
            loop, writer = timed(lambda: bare(folder)), timed(lambda: ours(folder, "sample"))
            ratios.append(loop / writer)
        whole = timed(lambda: ours(folder, "all"))
        ratio, memory = (
            statistics.median(ratios),
            peak_of(folder, "all") / peak_of(folder, "tenth"),
        )
    finally:
        shutil.rmtree(folder)
    print(f"{options.faces} faces in {whole:.1f} s, {options.faces / whole:.0f} faces/s")
    print(
        f'promise features ratio={ratio:.2f} wanted>=0.9 yardstick="bare loop of read, decode '
        'and session.run"'
    )
    print(
        f'promise features_memory ratio={memory:.2f} wanted<=1.1 yardstick="peak memory at a '
        'tenth of the faces"'
    )
    return int(ratio < 0.9 or memory > 1.1)


if __name__ == "__main__":
    sys.exit(main())
