"""Views made on a device, for benchmarks/gpu.py: the pixels of the CPU, and how many a second."""

import importlib.util
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.gpu_made_up import make_state, make_stepper, make_views, options
from mfr_kit.masks import drawn_heads, library
from mfr_kit.seeding import rng_for
from mfr_kit.training.views import view_plan
from mfr_kit.training.views.photometry import TAPS, Step
from mfr_kit.training.views.view import ViewRecipe, Views
from mfr_kit.training.views.view_plan import ViewPlan
from mfr_kit.training.views.view_renderer import ViewRenderer

CPU = torch.device("cpu")
WANTED, BATCH, SMALL, REPEATS, SIDE = 10_000, 512, 32, 9, 112
OFF = 1e-3  # share of pixels that may be more than 2 grey levels off
BARE = ViewRecipe(mask_ratio=1.0, photometric=0.0)


def heads(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Drawn heads with the grain of a photograph, turned to all sides, and their landmarks."""
    found = []
    for number in range(count):
        rng = rng_for(1, number)
        pose = rng.uniform(-40, 40), rng.uniform(-10, 10), rng.uniform(-8, 8)
        face, landmarks = drawn_heads.draw(SIDE, *pose, person=number)
        noise = rng.normal(0, rng.uniform(0, 8), face.shape)
        found.append((np.clip(face + noise, 0, 255).astype(np.uint8), landmarks))
    return found


def plan_views(faces: list, masks: library.Library, count: int) -> list[ViewPlan]:
    """Masked views, all of which are left to the device, with made-up photometry at its usual
    rates: albumentations may be missing where this runs.
    """
    views = Views(BARE, masks)
    planned = [views.plan(*faces[i % len(faces)], rng_for(2, 0, i)) for i in range(count)]
    return [
        ViewPlan(
            one.face, one.mirrored, one.masked, one.mask, one.matrix, make_steps(rng_for(3, i))
        )
        for i, one in enumerate(planned)
    ]


def make_steps(rng: np.random.Generator) -> list[Step]:
    """Some of the changes of a picture that photometry makes."""
    ramp = np.arange(256)
    table = np.clip(ramp * rng.uniform(0.8, 1.2) + rng.uniform(-25, 25), 0, 255).astype(np.uint8)
    shifted = np.stack([(ramp + 3) % 180, np.clip(ramp + 15, 0, 255) * (ramp > 0)])
    kernel = rng.random((TAPS, TAPS)).astype(np.float32)
    shown = np.stack([np.arange(SIDE) // 2 * 2] * 2).astype(np.uint8)
    made = {
        "lut": (0.6, table),
        "hsv": (0.3, shifted.astype(np.uint8)),
        "grey": (0.03, np.zeros(0, np.uint8)),
        "filter": (0.13, kernel / kernel.sum()),
        "resample": (0.07, shown),
        "noise": (0.15, rng.integers(-9, 10, (SIDE, SIDE, 3), dtype=np.int8)),
        "jpeg": (0.2, rng.integers(40, 91, 1).astype(np.uint8)),
    }
    return [Step(kind, values) for kind, (rate, values) in made.items() if rng.random() < rate]


def packed(plans: list[ViewPlan], masks: library.Library, pinned: bool):
    """Faces and plans as a loader hands them over."""
    faces, batch = torch.from_numpy(np.stack([p.face for p in plans])), view_plan.pack(plans, masks)
    return (faces.pin_memory(), batch.pin_memory()) if pinned else (faces, batch)


def same_views(device: torch.device, folder: Path) -> dict:
    """Masked and moved faces against OpenCV's, every look; photometry against torch on the CPU."""
    masks = library.load(library.names())
    faces, views = heads(2 * len(masks.looks)), []
    for number, look in enumerate(masks.looks.values()):
        one = library.Library({look.name: look}, {look.name: 1.0}, masks.mix)
        views += [(Views(BARE, one), number), (Views(BARE, one), number + len(masks.looks))]
    wanted = [one.draw(*faces[row], rng_for(4, row)).image for one, row in views]
    plans = [one.plan(*faces[row], rng_for(4, row)) for one, row in views]
    renderer, cpu = ViewRenderer(masks, device), ViewRenderer(masks, CPU)
    drawn = _off(renderer.render(*packed(plans, masks, False)).cpu(), np.stack(wanted))
    batch = packed(plan_views(faces, masks, 2 * SMALL), masks, False)
    changed = _off(renderer.render(*batch).cpu(), cpu.render(*batch).numpy())
    return {"ok": max(drawn, changed) <= OFF, "masks_and_drift": drawn, "photometry": changed}


def _off(made: torch.Tensor, wanted: np.ndarray) -> float:
    """Share of pixels more than 2 grey levels off in any channel."""
    return float((np.abs(made.numpy().astype(int) - wanted).max(axis=-1) > 2).mean())


def render(device: torch.device, folder: Path) -> dict:
    """Masked views a second with drift and photometry, faces and plans lying pinned on the host;
    and what a worker takes for a view, with and without its pixels.
    """
    on_cuda = device.type == "cuda"
    masks, faces, count = library.load().preload(), heads(SMALL), BATCH if on_cuda else SMALL
    renderer, plans = ViewRenderer(masks, device), plan_views(faces, masks, count)
    rates = [
        _rate(renderer, packed(plans[:n], masks, on_cuda), device) for n in (count, count // 4)
    ]
    found = {"views_per_s": rates[0], "batch": count, "views_per_s_of_a_quarter": rates[1]}
    found |= worker_costs(faces, masks)
    if not on_cuda:
        return {"ok": True, **found}
    ratio, peak = rates[0] / WANTED, torch.cuda.max_memory_allocated() / 2**30
    told = {"ok": ratio >= 1, "ratio": ratio, "wanted": 1.0, "peak_gib": peak}
    return {**told, "yardstick": f"{WANTED:,} masked views a second", **found}


def _rate(renderer: ViewRenderer, batch: tuple, device: torch.device) -> float:
    """Views a second; on CUDA also an error where the host waits for the device."""
    on_cuda = device.type == "cuda"
    rounds = 10 if on_cuda else 1

    def work() -> None:
        for _ in range(rounds):
            renderer.render(*batch)
        if on_cuda:
            torch.cuda.synchronize()

    work()
    if on_cuda:
        torch.cuda.set_sync_debug_mode("error")
        try:
            renderer.render(*batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    repeats = REPEATS if on_cuda else 3
    each = statistics.median(_seconds(work, time.perf_counter) for _ in range(repeats))
    return rounds * len(batch[0]) / each


def render_step(device: torch.device, folder: Path) -> dict:
    """A training step that makes its views, against the same step that is given them."""
    on_cuda, usual = device.type == "cuda", {"learning_rate": 1e-6, "bank_on": "device"}
    size, count, rounds = (512, BATCH, 8) if on_cuda else (32, SMALL // 2, 1)
    kind = {"student": "iresnet50", "precision": "bf16"} if on_cuda else {"width": 0.125}
    chosen = options(method="coupleface", batch_size=count, **kind, **usual)
    rows = np.random.default_rng(0).standard_normal((40 * count, 2, size), np.float32)
    people = np.arange(len(rows)) % (4 * count)
    state = make_state(chosen, size, 4 * count, device)
    stepper = make_stepper(chosen, state, rows, people, device, folder)
    masks, given = library.load(), make_views(count, len(rows))
    faces, bundle = packed(plan_views(heads(SMALL), masks, count), masks, on_cuda)
    maker = replace(stepper, renderer=ViewRenderer(masks, device))
    planned = replace(given, images=faces, plans=bundle)
    given = given.pin_memory() if on_cuda else given

    def run(one, views) -> float:
        def work() -> None:
            for _ in range(rounds):
                one.step(state, [one.feeder.read(views)], False)
            if on_cuda:
                torch.cuda.synchronize()

        return _seconds(work, time.perf_counter) / rounds

    repeats = REPEATS if on_cuda else 3  # the first is a warm-up
    pairs = [(run(stepper, given), run(maker, planned)) for _ in range(repeats)][1:]
    return {
        "ok": True,
        "share_of_speed": statistics.median(bare / ours for bare, ours in pairs),
        "images_per_s": count / statistics.median(ours for _, ours in pairs),
        "batch": count,
    }


def worker_costs(faces: list, masks: library.Library) -> dict:
    """Milliseconds of one core for a masked view, decode excluded: made by the worker, or planned
    and packed; with photometry where albumentations is there.
    """
    usual = float(importlib.util.find_spec("albumentations") is not None)
    views = Views(ViewRecipe(mask_ratio=1.0, photometric=usual), masks)

    def make() -> None:
        for row, face in enumerate(faces):
            views.draw(*face, rng_for(5, row))

    def plan() -> None:
        made = [views.plan(*face, rng_for(5, row)) for row, face in enumerate(faces)]
        view_plan.pack(made, masks)

    make(), plan()
    pairs = [(_seconds(make, time.thread_time), _seconds(plan, time.thread_time)) for _ in range(9)]
    ms = [1e3 / len(faces) * statistics.median(column) for column in zip(*pairs, strict=True)]
    return {
        "worker_ms_a_view": ms[0],
        "worker_ms_a_plan": ms[1],
        "plan_to_view": statistics.median(plan / view for view, plan in pairs),
        "with_photometry": bool(usual),
    }


def _seconds(work: Callable[[], None], clock: Callable[[], float]) -> float:
    start = clock()
    work()
    return clock() - start
