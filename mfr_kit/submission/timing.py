"""Time a model on single images: the median of fifty, and the sixth fastest of them, which is what
the organisers' checker takes.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfr_kit.models.input_format import USUAL, is_description, parse
from mfr_kit.models.onnx_models.runtime import metadata_of, open_session, run
from mfr_kit.models.onnx_models.signature import FLOATS
from mfr_kit.models.preprocess import META_NORMALISATION

RUNS, RANK, WARM_UP = 50, 5, 3


@dataclass(frozen=True)
class Timed:
    """Milliseconds for one image.

    Attributes:
        median: of the runs.
        low: their lower quartile.
        high: their upper quartile.
        sixth: the sixth fastest, as the organisers' checker takes it.
        runs: so many, after `WARM_UP` others.
        threads: of the network; 0 for all cores.
    """

    median: float
    low: float
    high: float
    sixth: float
    runs: int
    threads: int

    def describe(self) -> str:
        """Say what `median` is, and how far the runs are apart."""
        threads = {0: "all cores", 1: "one thread"}.get(self.threads, f"{self.threads} threads")
        return (
            f"median of {self.runs} runs after {WARM_UP} to warm up, CPU, {threads}; half of them "
            f"within {self.low:.2f} to {self.high:.2f} ms; the sixth fastest, as the organisers' "
            f"checker takes it, {self.sixth:.2f} ms"
        )


def single_image_ms(model: Path | bytes, threads: int = 0, runs: int = RUNS) -> Timed:
    """Time an ONNX recogniser on one image on the CPU.

    Args:
        model: path or serialised model, input (N, 3, 112, 112) of floats.
        threads: 0 for all cores.
        runs: more than five.
    Raises:
        KitError: it does not run.
    """
    session = open_session(model, threads)
    entry = session.get_inputs()[0]
    shape = [size if isinstance(size, int) and size > 0 else 1 for size in entry.shape]
    planes = np.random.Generator(np.random.PCG64(0)).uniform(-1, 1, shape).astype(np.float32)
    stored = metadata_of(session, "the model").get(META_NORMALISATION, USUAL)
    if stored != USUAL and is_description(stored):
        # in another range than its own a network takes another time: activations are all of one
        # sign
        least, most = parse(stored).range
        planes = (planes + 1) * ((most - least) / 2) + least
    feeds = {entry.name: planes.astype(FLOATS[entry.type], copy=False)}
    times = []
    for _ in range(WARM_UP + runs):
        start = time.perf_counter()
        run(session, None, feeds, "the model")
        times.append((time.perf_counter() - start) * 1000)
    ranked = np.sort(times[WARM_UP:])
    low, median, high = np.quantile(ranked, (0.25, 0.5, 0.75)).tolist()
    return Timed(median, low, high, float(ranked[RANK]), runs, threads)
