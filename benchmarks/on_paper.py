"""What a training of millions takes on one and on eight nodes of 8 GPUs, computed.

    python benchmarks/on_paper.py

prints the tables of docs/guides/scale.md. Rates are those of one GPU that `gpu.py` measured
(results/gpu); nothing here ran on more than one. What a network carries is assumed, and stands in
the table's head.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mfr_kit.models.weights import build_backbone

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT / "results" / "gpu" / "h200-2026-11-26-second" / "gpu.json"
VIEWS = ROOT / "results" / "gpu" / "h100-2026-11-26-views" / "gpu.json"
SIZE, BATCH, EPOCHS, STUDENT, GPUS = 512, 512, 20, "iresnet50", 8
FACE_BYTES = 6_000  # of a 112 x 112 JPEG, as in MS1MV3 and WebFace
FLOAT32 = 50e12  # operations a second of a float32 product; mining_93k reaches half of it or more
MRALL = 1_624_305  # faces of MR-All
NETWORKS = {"100 Gb/s a node": 12.5e9 / GPUS, "400 Gb/s a GPU": 50e9}  # bytes a second and GPU


@dataclass(frozen=True)
class Rates:
    """Of one GPU: images a second, seconds and comparisons a second."""

    step: float
    bank: float
    mining_s: float
    mined: int
    pairs: float
    worker_s: float  # a loader process takes for a view whose pixels the device makes


def measured() -> Rates:
    """Read what gpu.py has measured."""
    sections = json.loads(RUN.read_text())["sections"]
    render = json.loads(VIEWS.read_text())["sections"]["render"]
    return Rates(
        step=sections["bank_step"]["images_per_s"],
        bank=sections["bank_fill"]["images_per_s"],
        mining_s=sections["mining_93k"]["ours_s"],
        mined=93_431,
        pairs=sections["all_to_all"]["pairs_per_s"],
        worker_s=render["worker_ms_a_plan"] / 1e3,
    )


def stages(rates: Rates, faces: int, people: int, nodes: int) -> list[tuple[str, str, str]]:
    """Name each stage, how long it takes and what it reads, keeps or sends."""
    world = nodes * GPUS
    bank_h = 2 * faces / rates.bank / world / 3600
    mining_h = rates.mining_s * (people / rates.mined) ** 2 / 3600
    train_h = faces * EPOCHS / rates.step / world / 3600
    pairs = MRALL * (MRALL - 1) / 2
    return [
        ("bank", _duration(bank_h), f"{faces * 2 * SIZE * 2 / 1e9:.0f} GB of float16 on disk"),
        (
            "mining, K = 100",
            _duration(mining_h),
            f"on one GPU; {people * SIZE * 4 / 1e9:.1f} GB of prototypes, "
            f"{people * 100 * 4 / 1e9:.1f} GB of partners",
        ),
        (
            f"{EPOCHS} passes",
            _duration(train_h),
            f"{rates.step * world:,.0f} images/s; {rates.step * GPUS * FACE_BYTES / 1e6:,.0f} MB/s "
            f"read a node; {rates.step * rates.worker_s * GPUS:.0f} cores a node draw up views",
        ),
        (
            "MR-All, all pairs twice",
            _duration(2 * pairs / rates.pairs / 3600),
            f"on one GPU, {pairs:.2e} pairs",
        ),
    ]


def _duration(hours: float) -> str:
    if hours * 60 < 1:
        return f"{hours * 3600:.0f} s"
    return f"{hours * 60:.0f} min" if hours < 1.5 else f"{hours:.1f} h"


def exchanges(rates: Rates, people: int, parameters: int, nodes: int) -> list[tuple[str, ...]]:
    """Name what ranks send a step, in MB a GPU, and its share of a step on each network."""
    world, step_s = nodes * GPUS, BATCH / rates.step
    ring = 2 * (world - 1) / world
    joined = world * BATCH * SIZE * 4
    sent = {
        "gradients of the student": parameters * 4 * ring,
        "gradients of a whole head": people * SIZE * 4 * ring,
        "embeddings to a divided head, and back": joined * (1 + ring),
    }
    return [
        (name, f"{size / 1e6:,.0f}", *(f"{size / by / step_s:.0%}" for by in NETWORKS.values()))
        for name, size in sent.items()
    ]


def products(rates: Rates, people: int) -> list[tuple[str, str, str]]:
    """Name what a divided head computes a step and rank, in ms, and its share of a step."""
    step_s = BATCH / rates.step
    found = []
    for fraction in (1.0, 0.1):
        taken = 6 * BATCH * people * fraction * SIZE / FLOAT32
        found.append((f"{fraction:g}", f"{taken * 1e3:.0f}", f"{taken / step_s:.0%}"))
    return found


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Lay rows out as Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tables() -> str:
    """Return all tables."""
    rates, parts = measured(), []
    parameters = sum(p.numel() for p in build_backbone(STUDENT, SIZE, 1.0).parameters())
    sets = {"MS1MV3": (5_179_510, 93_431), "WebFace42M": (42_474_557, 2_059_906)}
    for name, (faces, people) in sets.items():
        rows = [
            (f"{nodes} x {GPUS}", *stage)
            for nodes in (1, 8)
            for stage in stages(rates, faces, people, nodes)
        ]
        parts.append(table((f"{name}, GPUs", "stage", "takes", "bytes, and what else"), rows))
    people = sets["WebFace42M"][1]
    head = ("WebFace42M, 8 x 8: a step sends", "MB a GPU")
    head = (*head, *(f"of a step at {name}" for name in NETWORKS))
    parts.append(table(head, exchanges(rates, people, parameters, 8)))
    head = ("`--negatives`", "ms a step in the divided head", "of a step")
    parts.append(table(head, products(rates, people)))
    return "\n\n".join(parts)


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    print(tables())
