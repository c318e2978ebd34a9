"""Promises of benchmarks/gpu.py, as ratios to bare loops on the same device."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks import gpu_views
from benchmarks.gpu_made_up import (
    MadeUpEmbedder,
    Pictures,
    embeddings_of,
    make_state,
    make_stepper,
    make_views,
    options,
)
from mfr_kit.evaluation.inputs.embed import embed_set
from mfr_kit.evaluation.verification import device_sweep
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.rates import at_far
from mfr_kit.evaluation.verification.score_bins import COARSE
from mfr_kit.evaluation.verification.scores import score
from mfr_kit.losses._batch import unit
from mfr_kit.training.teacher import bank, blocks, mining

REPEATS, SIZE, BATCH = 5, 512, 512
FARS = (1e-3, 1e-4, 1e-5, 1e-6)


def seconds(work: Callable[[], object]) -> float:
    """Time that passes until the device has done it."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def compare(bare: Callable, ours: Callable, wanted: float, yardstick: str, **more) -> dict:
    """Interleave both after a warm-up; the ratio is above 1 where ours is faster."""
    bare(), ours()
    pairs = [(seconds(bare), seconds(ours)) for _ in range(REPEATS)]
    ratio = statistics.median(base / mine for base, mine in pairs)
    return {
        "ok": ratio >= wanted,
        "ratio": ratio,
        "wanted": wanted,
        "yardstick": yardstick,
        "bare_s": statistics.median(base for base, _ in pairs),
        "ours_s": statistics.median(mine for _, mine in pairs),
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
        **more,
    }


def bank_step(device: torch.device, folder: Path) -> dict:
    """IResNet50 in bf16, 512 faces, RAD with K = 100, the bank on the device."""
    chosen = options(
        student="iresnet50",
        method="coupleface",
        precision="bf16",
        batch_size=BATCH,
        learning_rate=1e-6,
        bank_on="device",
    )
    faces, people, steps = 200_000, 20_000, 8
    rows = np.random.default_rng(0).standard_normal((faces, 2, SIZE), np.float32)
    bare_state, state = (make_state(chosen, SIZE, people, device) for _ in range(2))
    stepper = make_stepper(chosen, state, rows, np.arange(faces) % people, device, folder)
    views = make_views(BATCH, faces).pin_memory()
    planes = torch.randn(BATCH, 3, 112, 112, device=device).contiguous(
        memory_format=torch.channels_last
    )

    def bare() -> None:
        for _ in range(steps):
            bare_state.optimiser.zero_grad(set_to_none=True)
            with torch.autocast("cuda", torch.bfloat16):
                out = bare_state.student(planes)
            out.float().square().sum().backward()
            bare_state.optimiser.step()

    def ours() -> None:
        for _ in range(steps):
            stepper.step(state, [stepper.feeder.read(views)], False)

    found = compare(bare, ours, 0.90, "forward, backward and optimiser of the same student")
    return found | {"images_per_s": steps * BATCH / found["ours_s"]}


def _teacher(device: torch.device) -> tuple[MadeUpEmbedder, Callable[[int], None]]:
    """The teacher in bf16, and its bare forward pass over so many batches of images."""
    teacher = MadeUpEmbedder("iresnet50", device, "bf16", SIZE)
    planes = torch.randn(BATCH, 3, 112, 112, device=device).contiguous(
        memory_format=torch.channels_last
    )

    def bare(batches: int) -> None:
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
            for _ in range(batches):
                teacher.model(planes)

    return teacher, bare


def bank_fill(device: torch.device, folder: Path) -> dict:
    """JPEGs in memory to rows on disk, every face and its mirror image."""
    teacher, bare = _teacher(device)
    count, tries = 40 * BATCH // 2, iter(range(100))
    pictures = Pictures(count)

    def ours() -> None:
        bank.store(folder / str(next(tries)), pictures, teacher, batch=BATCH // 2, progress=False)

    found = compare(lambda: bare(40), ours, 0.80, "bf16 forward of the teacher, 512 images a batch")
    return found | {"images_per_s": 2 * count / found["ours_s"]}


def embed(device: torch.device, folder: Path) -> dict:
    """JPEGs in memory to embeddings in memory."""
    teacher, bare = _teacher(device)
    batches = 120
    pictures = Pictures(batches * BATCH)

    def ours() -> None:
        embed_set(teacher, pictures, batch=BATCH)

    found = compare(lambda: bare(batches), ours, 0.85, "bf16 forward, 512 images a batch")
    return found | {"images_per_s": len(pictures) / found["ours_s"]}


def all_to_all(device: torch.device, folder: Path) -> dict:
    """Thresholds and TARs of 200,000 faces, against the product of the full square."""
    faces = embeddings_of(200_000, SIZE)
    rows = torch.from_numpy(faces.embeddings).to(device)
    side = device_sweep.SIDE
    buffer = torch.empty(side * side, device=device)

    def bare(half: bool = False) -> None:
        for top in range(0, len(rows), side):
            some = rows[top : top + side]
            for left in range(top if half else 0, len(rows), side):
                others = rows[left : left + side]
                out = buffer[: len(some) * len(others)].view(len(some), len(others))
                torch.mm(some, others.T, out=out)

    pairs = Pairs(faces, None, device)

    def ours() -> None:
        found = score(pairs, FARS)
        for far in FARS:
            at_far(found, far)

    found = compare(bare, ours, 0.70, "float32 product of the full square, no TF32")
    same = statistics.median(seconds(lambda: bare(True)) for _ in range(REPEATS))
    swept = statistics.median(
        seconds(lambda: device_sweep.sweep(pairs, [], COARSE, device)) for _ in range(REPEATS)
    )
    return found | {
        "product_of_the_same_blocks_s": same,
        "sweep_alone_s": swept,
        "pairs_per_s": len(rows) * (len(rows) - 1) / 2 / found["ours_s"],
    }


def mining_93k(device: torch.device, folder: Path) -> dict:
    """100 neighbours of each of 93,431 prototypes."""
    points = unit(torch.randn(93_431, SIZE, generator=torch.Generator().manual_seed(0))).to(device)
    step = blocks.BLOCK_VALUES_ON_CUDA // len(points)
    out = torch.empty(step, len(points), device=device)

    def bare() -> None:
        for start in range(0, len(points), step):
            rows = points[start : start + step]
            torch.mm(rows, points.T, out=out[: len(rows)])

    return compare(bare, lambda: mining.nearest(points, 100), 0.70, "float32 product, no TF32")


SECTIONS = {
    "bank_step": bank_step,
    "bank_fill": bank_fill,
    "embed": embed,
    "all_to_all": all_to_all,
    "mining_93k": mining_93k,
    "render": gpu_views.render,
    "render_step": gpu_views.render_step,
}
