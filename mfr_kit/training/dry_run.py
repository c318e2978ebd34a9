"""`distill --dry-run`: what a run will take, from a few tries of its parts; nothing is written."""

import os
import shutil
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from mfr_kit import registry
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.models import memory
from mfr_kit.models.embedders import Embedder, load_embedder
from mfr_kit.training import optimise, people, prepare
from mfr_kit.training import ranks as distributed
from mfr_kit.training.options import METHODS, RunOptions
from mfr_kit.training.teacher import bank, mining
from mfr_kit.training.views import drift
from mfr_kit.training.views.loader import StudentViews

VIEWS, STEPS, WORKER_MIB = 48, 3, 60  # tried; and what a forked loader worker has of its own


def estimate(options: RunOptions) -> str:
    """Say in lines what the run will take on this machine, with as many ranks as torchrun has
    started.

    Raises:
        KitError: what `distill` itself would refuse about data, teacher and student.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    memory.keep_freed()
    device, ranks = distributed.start(options.device, options.timeout, options.precision)
    ancestors = people.ancestors_of(options)
    faces, _, seen = people.split(options.data, people.lists_of(options), ancestors)
    teacher = load_embedder(
        options.teacher,
        normalisation=options.normalisation,
        threads=options.threads,
        device=device,
        output=options.output,
    )
    persons = len(set(faces.identities))
    per_epoch, total = prepare.count_steps(options, len(faces), ranks.world)
    root = mining.cache_root(options.out, options.bank)
    banked = len(faces) if prepare.uses_teacher(options) else 0
    left = bank.missing(root, faces, teacher, options.bank_dtype) if banked else 0
    bank_s = left / options.bank_batch * _teacher_s(faces, teacher, options.bank_batch)
    view_s = _view_s(options, faces, drift.measure_twins(seen))
    student, _, _ = prepare.make_student(options, teacher)
    step_s, state_mib = _step(options, student, device)
    state_mib += _head_mib(options, persons, teacher.embedding_size)
    waiting_s = view_s * options.batch_size * options.accumulate / max(options.workers, 1)
    each_s = max(step_s, waiting_s) if options.workers else step_s + waiting_s
    bank_mib = banked * 2 * teacher.embedding_size * np.dtype(options.bank_dtype).itemsize / 2**20
    disk_mib = bank_mib + state_mib + persons * getattr(options, "neighbours", 0) * 4 / 2**20
    slower = "the loader" if waiting_s > step_s else "the student"
    on_device = (
        f", {torch.cuda.max_memory_allocated(device) / 2**20:.0f} MiB on the GPU"
        if device.type == "cuda"
        else ""
    )
    lines = (
        f"{options.data}: {len(faces):,} clean faces of {persons:,} people to train on; "
        f"{ranks.world} rank(s)",
        f"steps: {total:,} of {options.batch_size * options.accumulate * ranks.world} faces, "
        f"{per_epoch:,.0f} a pass over the faces",
        f"time: about {(bank_s + total * each_s) / 3600:.2f} h on this machine, of which "
        f"{bank_s / 3600:.2f} h for the teacher's bank "
        f"({left:,} faces missing); a step takes {each_s:.2f} s, {slower} being the slower; "
        "validation comes on top",
        f"memory: about {_peak_mib() + WORKER_MIB * options.workers:.0f} MiB a rank{on_device}, "
        f"and {bank_mib:.0f} MiB of the bank "
        "in the page cache",
        f"disk: about {disk_mib:.0f} MiB (bank {bank_mib:.0f}, checkpoints {state_mib:.0f}); "
        f"{_free_mib(root):,.0f} MiB are free",
    )
    return "\n".join(lines) if ranks.first else ""


def _teacher_s(faces: FaceSet, teacher: Embedder, batch: int) -> float:
    """Seconds that the teacher takes for a batch of faces and their mirror images."""
    images = np.stack([faces.image(index % len(faces)) for index in range(batch)])
    both = np.concatenate([images, images[:, :, ::-1]])
    return _seconds(lambda: teacher.embed(both))


def _view_s(options: RunOptions, faces: FaceSet, drifts: np.ndarray | None) -> float:
    """Seconds that one process takes to read, draw and hand over a view."""
    dataset = StudentViews(
        faces,
        options.recipe,
        options.seed,
        (options.masks, options.mask_folder, options.mask_mix),
        drifts,
    )
    rows = np.linspace(0, len(faces) - 1, VIEWS).astype(int).tolist()
    dataset[0, rows[0]]
    start = time.perf_counter()
    for row in rows:
        dataset[0, row]
    return (time.perf_counter() - start) / VIEWS


def _step(options: RunOptions, student: nn.Module, device: torch.device) -> tuple[float, float]:
    """Try the student's forward, backward and optimiser, which a step from the bank costs
    (benchmarks/train_step.py).

    Returns:
        seconds a step, and MiB of a run's checkpoints: last.pt with the optimiser's state, the
        start and the average; best and result.
    """
    student = student.to(
        device,
        memory_format=torch.channels_last if options.channels_last else torch.contiguous_format,
    )
    (optimise.train_with_frozen_norms if options.frozen_norms else nn.Module.train)(student)
    optimiser = optimise.make_optimiser(student, [], options)
    pixels = torch.rand(options.batch_size, 3, 112, 112, device=device)
    if options.channels_last:
        pixels = pixels.contiguous(memory_format=torch.channels_last)

    def work() -> None:
        optimiser.zero_grad(set_to_none=True)
        for _ in range(options.accumulate):
            with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16"):
                student(pixels).float().square().sum().backward()
        optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    seconds = _seconds(work)
    weights_mib = (
        sum(value.numel() * value.element_size() for value in student.state_dict().values()) / 2**20
    )
    copies = 1 + 1 + (2 if options.optimiser == "adamw" else 1) + bool(options.ema) + 2
    return seconds, weights_mib * copies


def _head_mib(options: RunOptions, persons: int, size: int) -> float:
    """MiB that the method's head and its optimiser state take in last.pt; a head has one row a
    person.
    """
    method = registry.get(METHODS, options.method)
    with torch.device("meta"):
        head = method.head(options.of_method(), persons, size) if hasattr(method, "head") else None
    numbers = 0 if head is None else sum(parameter.numel() for parameter in head.parameters())
    return numbers * 4 * (3 if options.optimiser == "adamw" else 2) / 2**20


def _seconds(work: Callable[[], object]) -> float:
    work()  # the first pays for what is set up once
    tries = []
    for _ in range(STEPS):
        start = time.perf_counter()
        work()
        tries.append(time.perf_counter() - start)
    return min(tries)


def _peak_mib() -> float:
    try:
        import resource
    except ImportError:
        # Windows keeps no such count; this is what torch and a small student take elsewhere
        return 1500.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )


def _free_mib(folder) -> float:
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(os.fspath(folder)).free / 2**20
