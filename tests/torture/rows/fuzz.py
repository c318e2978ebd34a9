"""Damaged inputs of every reader of files: training sets, face sets, pictures, models, weights,
packages, reports, lists, TOML, banks, claims, requests to the studio; a round is some inputs of one
reader (`tests/torture/readers.py`).
"""

from pathlib import Path

from tests.torture import fuzzing
from tests.torture.outcome import Outcome

# inputs a round and rounds: two seconds of computing a round, a million inputs in all
PLAN = {
    "features": (1_000, 60),
    "hf-parquet": (400, 20),
    "webdataset": (500, 60),
    "pictures": (1_000, 150),
    "safetensors": (1_000, 100),
    "described models": (500, 120),
    "image lists": (400, 50),
    "layouts": (400, 50),
    "masks and tracks": (400, 20),
    "reports": (200, 30),
    "weights": (500, 80),
    "recordio": (2_000, 110),
    "bins": (2_500, 68),
    "lists": (400, 25),
    "tomls": (400, 15),
    "records": (400, 15),
    "journals": (200, 30),
    "sets": (200, 25),
    "parquet": (200, 20),
    "checkpoints": (200, 20),
    "embeddings": (200, 20),
    "packages": (400, 50),
    "models": (50, 60),
    "runs": (40, 50),
    "banks": (400, 20),
    "head rows": (400, 20),
    "claims": (400, 25),
    "studio requests": (400, 30),
}
TITLE = "damaged inputs of all readers"
WANTED = "1,000,000 inputs: 0 tracebacks, 0 hangs > 10 s of computing, <= 1 GiB a process"
ROUNDS, SHORT = sum(rounds for _, rounds in PLAN.values()), 3


def schedule() -> list[tuple[str, range]]:
    """List the reader and the inputs of each round: first a round of each reader, then all
    readers side by side until the last.
    """
    share = [
        (part / rounds, name, part) for name, (_, rounds) in PLAN.items() for part in range(rounds)
    ]
    order = sorted(share, key=lambda row: row[0])
    return [
        (name, range(part * PLAN[name][0], (part + 1) * PLAN[name][0])) for _, name, part in order
    ]


def prepare(shared: Path) -> None:
    """Nothing is made here: a reader's first round makes its whole files."""


def attempt(number: int, shared: Path, folder: Path) -> Outcome:
    """Try the inputs of a round."""
    name, numbers = schedule()[number]
    return fuzzing.try_inputs(name, numbers, shared, folder)
