"""Photographs a second that a detector looks at, several at once against one by one.

    python benchmarks/detection.py [--model det_10g.onnx] [--photos 16] [--batches 4 16]
        [--repeats 9] [--device cpu]

Without --model a made-up network of SCRFD's shape, with as many multiplications as SCRFD-2.5G,
finds spots that are painted on photographs of several sizes. The promise is that the same faces are
found; what a batch gains depends on the machine, and is a figure.
"""

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mfr_kit.data.alignment.detect import choose_provider, load_detector
from mfr_kit.data.alignment.detection import Detection
from mfr_kit.data.images import read_rgb
from tests.data.made_up_detector import COLOURS, paint, write_scrfd

CONVOLUTIONS = 5  # of 64 channels at an eighth of the input: 0.47 GFLOP each at 640 x 640
SIZES = ((640, 640), (480, 640), (720, 960), (250, 250))  # of photographs, height and width
APART = 0.05  # pixels of a photograph by which a face of a batch may differ


def write_network(path: Path) -> Path:
    """A made-up detector that computes as much as a small SCRFD before it answers."""
    model = onnx.load(write_scrfd(path))
    rng, graph = np.random.default_rng(0), model.graph
    for node in graph.node:
        node.input[:] = ["seen" if name == "image" else name for name in node.input]
    widths = [3, 16, 32, 64, *[64] * CONVOLUTIONS]
    nodes, last = [], "image"
    for number, (before, after) in enumerate(itertools.pairwise(widths)):
        weight = rng.normal(0, (2 / (9 * before)) ** 0.5, (after, before, 3, 3)).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(weight, f"body{number}"))
        how = {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [2 if number < 3 else 1] * 2}
        nodes += [
            helper.make_node("Conv", [last, f"body{number}"], [f"conv{number}"], **how),
            helper.make_node("Relu", [f"conv{number}"], [f"relu{number}"]),
        ]
        last = f"relu{number}"
    graph.initializer.append(numpy_helper.from_array(np.float32(0), "nothing"))
    nodes += [  # adds exactly 0, which nobody but the computer knows
        helper.make_node("ReduceMean", [last], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Add", ["image", "zero"], ["seen"]),
        *graph.node,
    ]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, path)
    return path


def painted(count: int) -> list[np.ndarray]:
    """Photographs with two spots each."""
    rng, images = np.random.default_rng(1), []
    for number in range(count):
        height, width = SIZES[number % len(SIZES)]
        image = np.full((height, width, 3), 40, np.uint8)
        for stride in (16, 32):
            row, column = (int(rng.integers(1, side // stride - 1)) for side in (height, width))
            paint(image, stride, COLOURS[stride], column, row)
        images.append(image)
    return images


def apart(one: list[Detection], other: list[Detection]) -> float:
    """The largest difference of two lists of faces in pixels; infinite where their lengths do."""
    if len(one) != len(other):
        return float("inf")
    pairs = zip(one, other, strict=True)
    return max((float(np.abs(a.landmarks - b.landmarks).max()) for a, b in pairs), default=0.0)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(detector, images: list[np.ndarray], batches: list[int], repeats: int) -> bool:
    """Print photographs a second and whether the faces are the same; True where they are."""

    def by(batch: int) -> list[list[Detection]]:
        starts = range(0, len(images), batch)
        parts = [detector.detect_many(images[start : start + batch]) for start in starts]
        return [found for part in parts for found in part]

    alone = by(1)
    times: dict[int, list[float]] = {batch: [] for batch in (1, *batches)}
    difference = 0.0
    for batch in batches:
        difference = max([difference, *map(apart, alone, by(batch))])
    for _ in range(repeats):
        for batch, taken in times.items():
            taken.append(seconds(lambda batch=batch: by(batch)))
    middle = {batch: statistics.median(taken) for batch, taken in times.items()}
    faces = sum(map(len, alone))
    print(f"{len(images)} photographs, {faces} faces; largest difference {difference:.2g} pixels")
    for batch, taken in middle.items():
        ratio = middle[1] / taken
        print(f"  {batch:3d} at once: {len(images) / taken:7.1f} photos/s, ratio {ratio:.2f}")
    same = difference <= APART and faces > 0
    print(
        f"promise batched_detection_same_faces ratio={difference / APART:.2g} wanted<=1 "
        f'yardstick="{APART} pixels"'
    )
    return same


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a pack or an SCRFD file of your own")
    parser.add_argument("--folder", type=Path, help="photographs, instead of painted ones")
    parser.add_argument("--photos", type=int, default=16)
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    images = painted(options.photos)
    if options.folder is not None:
        files = sorted(options.folder.rglob("*.jpg"))[: options.photos]
        images = [read_rgb(file) for file in files]
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or write_network(Path(folder) / "made_up.onnx")
        provider, line = choose_provider("insightface", options.device)
        print(line or f"insightface's detector on {options.device}")
        detector = load_detector("insightface", model, provider=provider)
        same = compare(detector, images, options.batches, options.repeats)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
