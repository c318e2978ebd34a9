"""Guess what a model would take on the challenge's Tesla V100, from four IResNets whose times there
are published.

A small graph on a large GPU waits for kernels to start, a large one for arithmetic. So there are
two estimates: by the work, and by the number of nodes; the truth of a mobile network lies somewhere
between, and the larger of the two is the careful one.
"""

import functools
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from mfr_kit.models.onnx_models.runtime import open_session
from mfr_kit.models.weights import build_backbone
from mfr_kit.submission.export import export_graph

# Milliseconds for one image on a V100 (onnxruntime-gpu 1.6), by the organisers.
# Nodes and multiply-adds are those of our own exports of the same networks.
V100_MS = {"iresnet18": 1.856, "iresnet34": 3.054, "iresnet50": 4.262, "iresnet100": 7.031}
NODES = {"iresnet18": 48, "iresnet34": 88, "iresnet50": 128, "iresnet100": 253}
MULTIPLY_ADDS = {
    "iresnet18": 2.609954816e9,
    "iresnet34": 4.45964288e9,
    "iresnet50": 6.309330944e9,
    "iresnet100": 12.089606144e9,
}
REFERENCE = "iresnet18"
ROUNDS = 9


@dataclass(frozen=True)
class Estimate:
    """Milliseconds on a V100: `by_work` with the quartiles of its measurement, and `by_nodes`."""

    by_work: float
    work_low: float
    work_high: float
    by_nodes: float

    @property
    def low(self) -> float:
        return min(self.by_work, self.by_nodes)

    @property
    def high(self) -> float:
        """The careful estimate."""
        return max(self.work_high, self.by_nodes)


def by_nodes(nodes: int) -> float:
    """Line through the four published times over their node counts (within 10 % of each)."""
    return _line(NODES, nodes)


def count_launches(graph: onnx.GraphProto) -> int:
    """Count what a graph starts on a GPU: its nodes without constants, where onnxruntime makes one
    of the nine nodes of a layer norm and of the five of a GELU.
    """
    writers = {name: node for node in graph.node for name in node.output}

    def is_variance(name: str, *kinds: str) -> bool:
        """Whether a value comes of nodes of these kinds, the last first, by their first inputs."""
        node = writers.get(name)
        if not kinds or node is None or node.op_type != kinds[0]:
            return not kinds
        return is_variance(node.input[0], *kinds[1:])

    roots = [node.input[0] for node in graph.node if node.op_type == "Sqrt"]
    norms = sum(is_variance(name, "Add", "ReduceMean", "Pow", "Sub") for name in roots)
    kinds = Counter(node.op_type for node in graph.node)
    return len(graph.node) - kinds["Constant"] - 8 * norms - 4 * kinds["Erf"]


def by_multiply_adds(count: float) -> float:
    """Line through the four published times over their multiply-adds (within 8 % of each)."""
    return _line(MULTIPLY_ADDS, count)


def timed_here(model: Path, rounds: int = ROUNDS) -> Estimate:
    """Time a model and the reference in turns on this machine, and scale by the reference's
    published time.

    Both run with their PReLUs split (onnx_models/prelu.py): what a CPU loses at them a GPU does
    not.

    Args:
        model: an ONNX recogniser with one float32 input (N, 3, 112, 112).
        rounds: interleaved repeats.
    """
    sessions = [open_session(model, quick=True), open_session(_reference())]
    planes = (
        np.random.Generator(np.random.PCG64(0)).uniform(-1, 1, (1, 3, 112, 112)).astype(np.float32)
    )
    ratios = []
    for number in range(rounds + 1):
        ours, reference = (_once(session, planes) for session in sessions)
        if number:  # the first round warms up
            ratios.append(ours / reference)
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75)) * V100_MS[REFERENCE]
    return Estimate(
        float(middle),
        float(low),
        float(high),
        by_nodes(count_launches(onnx.load(str(model), load_external_data=False).graph)),
    )


def _line(known: Mapping[str, float], value: float) -> float:
    slope, start = np.polyfit(list(known.values()), [V100_MS[name] for name in known], 1)
    return float(max(start + slope * value, 0.0))


@functools.cache
def _reference() -> bytes:
    proto, _ = export_graph(build_backbone(REFERENCE).eval(), 11, for_cpu=True)
    return proto.SerializeToString()


def _once(session, planes: np.ndarray) -> float:
    start = time.perf_counter()
    session.run(None, {session.get_inputs()[0].name: planes})
    return time.perf_counter() - start
