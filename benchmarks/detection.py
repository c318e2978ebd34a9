"""Photographs a second that a detector looks at, several at once against one by one.

    python benchmarks/detection.py [--model det_10g.onnx] [--photos 16] [--batches 4 16]
        [--repeats 9] [--device cpu]

YuNet is shown photographs by OpenCV, and by onnxruntime alone and several at once. Of insightface's
detector, without --model, a made-up network of SCRFD's shape, with as many multiplications as
SCRFD-2.5G, finds spots that are painted on photographs of several sizes. The promises are that the
same faces are found, and that YuNet is faster by onnxruntime; what a batch gains depends on the
machine, and is a figure.
"""

import argparse
import functools
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
import onnx
from onnx import helper, numpy_helper

from mfr_kit import assets
from mfr_kit.data.alignment.detect import choose_provider, load_detector
from mfr_kit.data.alignment.detection import Detection
from mfr_kit.data.images import read_rgb
from tests.data.made_up_detector import COLOURS, paint, write_scrfd

CONVOLUTIONS = 5  # of 64 channels at an eighth of the input: 0.47 GFLOP each at 640 x 640
SIZES = ((640, 640), (480, 640), (720, 960), (250, 250))  # of photographs, height and width
FASTER = 1.2  # times yunet, by onnxruntime: 2 on an idle core
Look = Callable[[], list[list[Detection]]]
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


def looks(name: str, detector, images: list[np.ndarray], batches: list[int]) -> dict[str, Look]:
    """Ways to look at all photographs with a detector, by what a row of the table says."""

    def by(batch: int) -> list[list[Detection]]:
        starts = range(0, len(images), batch)
        parts = [detector.detect_many(images[start : start + batch]) for start in starts]
        return [found for part in parts for found in part]

    return {f"{name}, {batch} at once": functools.partial(by, batch) for batch in batches}


def compare(ways: dict[str, Look], repeats: int, promise: str) -> tuple[bool, list[float]]:
    """Print photographs a second of each way, beside the first; and the promise that all find the
    same faces.

    Returns:
        whether they do, and how many times as fast as the first each way is.
    """
    first, *others = (look() for look in ways.values())
    difference = max(apart(*pair) for found in others for pair in zip(first, found, strict=True))
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, look in ways.items():
            times[name].append(seconds(look))
    middle = [statistics.median(taken) for taken in times.values()]
    faces, ratios = sum(map(len, first)), [middle[0] / taken for taken in middle]
    print(f"{len(first)} photographs, {faces} faces; largest difference {difference:.2g} pixels")
    for name, taken, ratio in zip(ways, middle, ratios, strict=True):
        print(f"  {name:28} {len(first) / taken:7.1f} photos/s, ratio {ratio:.2f}")
    print(
        f"promise {promise}_same_faces ratio={difference / APART:.2g} wanted<=1 "
        f'yardstick="{APART} pixels"',
        flush=True,
    )
    return difference <= APART and faces > 0, ratios


def compare_yunet(images: list[np.ndarray], batches: list[int], repeats: int, device: str) -> bool:
    """YuNet by OpenCV and by onnxruntime; True where the promises are kept."""
    provider, _ = choose_provider("yunet-onnx", device)
    by_onnx = load_detector("yunet-onnx", provider=provider)
    ways = {
        **looks("yunet", load_detector("yunet"), images, [1]),
        **looks("yunet-onnx", by_onnx, images, [1, *batches]),
    }
    same, ratios = compare(ways, repeats, "yunet_onnx")
    print(
        f"promise yunet_onnx_detection ratio={ratios[1]:.2f} wanted>={FASTER} "
        'yardstick="yunet, one by one"'
    )
    return same and ratios[1] >= FASTER


def orl_photographs(count: int) -> list[np.ndarray]:
    files = sorted(assets.path("orl-faces").glob("s*/*.pgm"))[:count]
    return [cv2.resize(read_rgb(file), (250, 304)) for file in files]


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
    cv2.setNumThreads(1)
    faces, spots = orl_photographs(options.photos), painted(options.photos)
    if options.folder is not None:
        files = sorted(options.folder.rglob("*.jpg"))[: options.photos]
        faces = spots = [read_rgb(file) for file in files]
    kept = compare_yunet(faces, options.batches, options.repeats, options.device)
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or write_network(Path(folder) / "made_up.onnx")
        provider, _ = choose_provider("insightface", options.device)
        detector = load_detector("insightface", model, provider=provider)
        ways = looks("insightface", detector, spots, [1, *options.batches])
        same, _ = compare(ways, options.repeats, "batched_detection")
    return 0 if kept and same else 1


if __name__ == "__main__":
    sys.exit(main())
