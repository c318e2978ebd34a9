"""Exported graphs in onnxruntime against torch eager on the CPU: `python benchmarks/export.py
[--repeats N]`.

Random weights; both sides use all cores; the file is that of `export-onnx --runs-on cpu`. The ratio
of a promise is the worse of MobileFaceNet (width 1) and IResNet50; narrower ones are shown beside.
For each the graph is also counted before and after our passes, and run without onnxruntime's
optimiser and as `--runs-on gpu` writes it.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import onnxruntime
import torch

from mfr_kit.models.weights import build_backbone
from mfr_kit.submission.export import export_graph

MODELS = (
    ("mobilefacenet", 1.0, True),
    ("iresnet50", 1.0, True),
    ("mobilefacenet", 0.5, False),
    ("mobilefacenet", 0.25, False),
)
BATCHES = {"single_image": 1, "batch_32": 32}


def session_of(proto, optimise):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        if optimise
        else onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    )
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def timed(work, count):
    start = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - start) / count


def compare(model, session, others, batch, repeats):
    """Median rate of the session over torch's, and over those of other sessions of the network,
    from interleaved repeats.
    """
    planes = np.random.default_rng(0).uniform(-1, 1, (batch, 3, 112, 112)).astype(np.float32)
    tensor = torch.from_numpy(planes)
    works = [
        lambda: model(tensor),
        *(lambda s=s: s.run(None, {"input": planes}) for s in (session, *others)),
    ]
    count = max(1, int(0.2 / timed(works[1], 2)))
    rows = []
    with torch.inference_mode():
        for _ in range(repeats + 1):
            rows.append([timed(work, count) for work in works])
    eager, ours, *theirs = (np.array(column) for column in zip(*rows[1:], strict=True))
    return float(np.median(ours)) * 1000 / batch, *(
        statistics.median(other / ours) for other in (eager, *theirs)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    worst = dict.fromkeys(BATCHES, float("inf"))
    for name, width, promised in MODELS:
        model = build_backbone(name, width=width).eval()
        one, counts = export_graph(model, 11)
        proto, split = export_graph(model, 11, for_cpu=True)
        session, others = session_of(proto, True), (session_of(proto, False), session_of(one, True))
        nodes = (
            f"{counts['nodes_before']} -> {counts['nodes_after']} nodes ({split['nodes_after']} "
            "for a CPU)"
        )
        print(f"{name} {width:g}: {nodes}, {proto.ByteSize():,} bytes")
        for label, batch in BATCHES.items():
            time_ms, ratio, optimiser, gpu = compare(model, session, others, batch, repeats)
            told = (
                f"{ratio:.2f} x torch eager, {optimiser:.2f} x without onnxruntime's optimiser, "
                f"{gpu:.2f} x the file for a GPU"
            )
            print(f"    {label}: {time_ms:.2f} ms an image, {told}")
            if promised:
                worst[label] = min(worst[label], ratio)
    for label, ratio in worst.items():
        print(
            f'promise {label} ratio={ratio:.2f} wanted>=1 yardstick="torch eager, worse of '
            'MobileFaceNet and IResNet50"'
        )
    return int(any(ratio < 1 for ratio in worst.values()))


if __name__ == "__main__":
    sys.exit(main())
