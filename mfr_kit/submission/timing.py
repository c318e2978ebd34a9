"""Time a model as the organisers' checker does: single images, the sixth fastest of fifty."""

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
    """Milliseconds for one image: the sixth fastest of the runs, and their quartiles."""

    fast: float
    low: float
    high: float


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
    low, high = np.quantile(ranked, (0.25, 0.75))
    return Timed(float(ranked[RANK]), float(low), float(high))
