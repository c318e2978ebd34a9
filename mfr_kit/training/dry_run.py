"""`distill --dry-run`: what a run will take, from a few tries of its parts; nothing is written."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.models.embedders import Embedder
from mfr_kit.processes import peak_mib
from mfr_kit.training import head_memory, networks, optimise, people
from mfr_kit.training import ranks as distributed
from mfr_kit.training.method import Method
from mfr_kit.training.options import RunOptions
from mfr_kit.training.recompute import recompute_blocks
from mfr_kit.training.scaling import autocast
from mfr_kit.training.settings import Numerics, Pace
from mfr_kit.training.teacher import bank
from mfr_kit.training.views import drift
from mfr_kit.training.views.loader import StudentViews
from mfr_kit.training.views.view_renderer import renders_there

WORLDS = (8, 16, 64)  # that the head's memory is shown for, beside the ranks there are
VIEWS, STEPS, WORKER_MIB = 48, 3, 60  # tried; and what a forked loader worker has of its own
USUAL_MIB = 1500.0  # that torch and a small student take, where nobody counts


def estimate(options: RunOptions) -> str:
    """Say in lines what the run will take on this machine, with as many ranks as torchrun has
    started.

    Raises:
        KitError: what `distill` itself would refuse about data, teacher and student.
    """
    device, ranks = distributed.start(
        options.device, options.timeout, options.precision, options.threads
    )
    method, stored = options.chosen_method, options.bank_settings
    faces, _, seen = people.split(options.data, options.lists, options.ancestors)
    teacher = networks.load_teacher(options.teacher_spec, options.device)
    persons = faces.identity_count
    course = options.pace.course_over(len(faces), ranks.world)
    banked = len(faces) if method.uses_teacher else 0
    left = bank.missing(stored.root, faces, teacher, stored.dtype) if banked else 0
    bank_s = left / stored.batch * _time_teacher(faces, teacher, stored.batch)
    chosen = (options.masks, options.mask_folder, options.mask_mix)
    drifts = drift.choose_table(seen, options.drift_table)
    planned = renders_there(options.render_on, device)
    views = StudentViews(faces, options.recipe, options.seed, chosen, drifts, planned=planned)
    view_s = _time_view(views, len(faces))
    student, _, _ = networks.make_student(options.student_spec, teacher, options.teacher)
    (optimise.train_with_frozen_norms if options.frozen_norms else nn.Module.train)(student)
    student = networks.put(student, device, options.channels_last)
    if options.recompute:
        recompute_blocks(student)
    optimiser = optimise.make_optimiser(student, [], options.descent, options.layers)
    step_s = _time_step(student, optimiser, device, options.pace, options.numerics)
    state_mib = _student_mib(student, options.optimiser, options.ema > 0)
    state_mib += _head_mib(method, persons, teacher.embedding_size, options.optimiser)
    waiting_s = view_s * options.batch_size * options.accumulate / max(options.workers, 1)
    each_s = max(step_s, waiting_s) if options.workers else step_s + waiting_s
    bank_mib = banked * 2 * teacher.embedding_size * np.dtype(stored.dtype).itemsize / 2**20
    disk_mib = bank_mib + state_mib + persons * getattr(options, "neighbours", 0) * 4 / 2**20
    slower = "the loader" if waiting_s > step_s else "the student"
    on_device = (
        f", {torch.cuda.max_memory_allocated(device) / 2**20:.0f} MiB on the GPU"
        if device.type == "cuda"
        else ""
    )
    rank_mib = (peak_mib() or USUAL_MIB) + WORKER_MIB * options.workers
    lines = [
        f"{options.data}: {len(faces):,} clean faces of {persons:,} people to train on; "
        f"{ranks.world} rank(s)",
        f"steps: {course.total:,} of {course.faces} faces, "
        f"{course.per_epoch:,.0f} a pass over the faces",
        f"time: about {(bank_s + course.total * each_s) / 3600:.2f} h on this machine, of which "
        f"{bank_s / 3600:.2f} h for the teacher's bank "
        f"({left:,} faces missing); a step takes {each_s:.2f} s, {slower} being the slower; "
        "validation comes on top",
        f"memory: about {rank_mib:.0f} MiB a rank{on_device}, "
        f"and {bank_mib:.0f} MiB of the bank "
        "in the page cache",
        f"disk: about {disk_mib:.0f} MiB (bank {bank_mib:.0f}, checkpoints {state_mib:.0f}); "
        f"{_free_mib(stored.root):,.0f} MiB are free",
    ]
    # kd's head are the teacher's prototypes, which do not learn
    if method.classifies or (method.shares_prototypes and not method.mines):
        worlds = sorted({ranks.world, *WORLDS})
        shape = (options.batch_size, worlds, options.head_spec, options.optimiser)
        lines += [
            "the head's memory, MiB a rank:",
            head_memory.tabulate(
                persons, teacher.embedding_size, *shape, trained=method.classifies
            ),
        ]
    return "\n".join(lines) if ranks.first else ""


def _time_teacher(faces: FaceSet, teacher: Embedder, batch: int) -> float:
    """Seconds that the teacher takes for a batch of faces and their mirror images."""
    images = np.stack([faces.image(index % len(faces)) for index in range(batch)])
    both = np.concatenate([images, images[:, :, ::-1]])
    return _time(lambda: teacher.embed(both))


def _time_view(dataset: StudentViews, faces: int) -> float:
    """Seconds that one process takes to read, draw and hand over a view, or its plan."""
    rows = np.linspace(0, faces - 1, VIEWS).astype(int).tolist()
    dataset[0, rows[0]]
    start = time.perf_counter()
    for row in rows:
        dataset[0, row]
    return (time.perf_counter() - start) / VIEWS


def _time_step(
    student: nn.Module,
    optimiser: torch.optim.Optimizer,
    device: torch.device,
    pace: Pace,
    numerics: Numerics,
) -> float:
    """Seconds that the student's forward, backward and optimiser take, which is what a step from
    the bank costs (benchmarks/train_step.py).
    """
    pixels = torch.rand(pace.batch_size, 3, 112, 112, device=device)
    if numerics.channels_last:
        pixels = pixels.contiguous(memory_format=torch.channels_last)

    def work() -> None:
        optimiser.zero_grad(set_to_none=True)
        for _ in range(pace.accumulate):
            with autocast(device, numerics.precision):
                student(pixels).float().square().sum().backward()
        optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return _time(work)


def _student_mib(student: nn.Module, optimiser: str, averaged: bool) -> float:
    """MiB of a student in a run's checkpoints: last.pt with the optimiser's state, the start and
    the average; best and result.
    """
    values = student.state_dict().values()
    weights_mib = sum(value.numel() * value.element_size() for value in values) / 2**20
    return weights_mib * (1 + 1 + (2 if optimiser == "adamw" else 1) + averaged + 2)


def _head_mib(method: Method, persons: int, size: int, optimiser: str) -> float:
    """MiB that the method's head and its optimiser state take in last.pt; a head has some rows a
    person, learnt or remembered.
    """
    with torch.device("meta"):
        head = method.make_head(persons, size)
    if head is None:
        return 0.0
    learnt = sum(parameter.numel() for parameter in head.parameters())
    kept = sum(buffer.numel() for buffer in head.buffers())
    return (learnt * (3 if optimiser == "adamw" else 2) + kept) * 4 / 2**20


def _time(work: Callable[[], object]) -> float:
    work()  # the first pays for what is set up once
    tries = []
    for _ in range(STEPS):
        start = time.perf_counter()
        work()
        tries.append(time.perf_counter() - start)
    return min(tries)


def _free_mib(folder: Path) -> float:
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(os.fspath(folder)).free / 2**20
