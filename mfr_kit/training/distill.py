"""The training loop: from options to a run folder with student.pt in it."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mfr_kit.losses._batch import Batch, Terms
from mfr_kit.masks import library
from mfr_kit.models import weights
from mfr_kit.models.lineage import ancestor
from mfr_kit.training import checkpoint, networks, optimise, people, preflight, prepare
from mfr_kit.training import ranks as distributed
from mfr_kit.training.checkpoint import State
from mfr_kit.training.journal import open_journal
from mfr_kit.training.method import Method
from mfr_kit.training.options import RunOptions
from mfr_kit.training.outcome import Outcome
from mfr_kit.training.ranks import Ranks
from mfr_kit.training.settings import Course, Descent, Intervals, Layers, RateSchedule
from mfr_kit.training.step import Stepper
from mfr_kit.training.validation import Validation
from mfr_kit.training.views import drift
from mfr_kit.training.views.loader import (
    BatchPlan,
    Order,
    StudentViews,
    batches,
    every_face,
    every_person,
    next_batch,
)
from mfr_kit.training.views.view_renderer import ViewRenderer, renders_there


def distill(options: RunOptions) -> Path:
    """Train a student and return its weights file.

    Raises:
        KitError: anything about data, options, teacher or folder that the user can mend.
    """
    device, ranks = distributed.start(
        options.device, options.timeout, options.precision, options.threads
    )
    out, method, ancestors = options.out, options.chosen_method, options.ancestors
    preflight.refuse_taken(out, options.resume)
    faces, held, seen = people.split(options.data, options.lists, ancestors, echo=ranks.first)
    if preflight.holds_run(out):
        people.expect_same(out, faces, held)
    preflight.check_run(options.bank, method, tensorboard=options.tensorboard)
    preflight.check_pass(options.batch_size, faces, options.sampling, ranks.world, method)
    drifts = drift.measure_twins(seen)
    del seen  # rows of millions of faces, perhaps
    chosen = (options.masks, options.mask_folder, options.mask_mix)
    dataset = StudentViews(
        faces,
        options.recipe,
        options.seed,
        chosen,
        drifts,
        planned=renders_there(options.render_on, device),
    )
    renderer = _renderer(dataset, device)
    load_masks = functools.partial(library.load, *chosen)
    validation = Validation(held, load_masks) if held and ranks.first else None
    teacher = networks.load_teacher(options.teacher_spec, device)
    student, size, parent = networks.make_student(options.student_spec, teacher, options.teacher)
    preflight.check_student(options.student, student, options.batch_size, options.frozen_norms)
    student = networks.put(student, device, options.channels_last)
    classes, sizes = len(set(faces.identities)), (size, teacher.embedding_size)
    head = method.make_head(classes, teacher.embedding_size)
    state = _make_state(student, sizes, head, options.descent, options.layers, options.ema > 0)
    course = options.pace.course_over(len(faces), ranks.world)
    with prepare.sole_run(out, ranks.first):
        if ranks.first:
            about = ancestor(teacher.name, teacher.fingerprint, teacher.lineage)
            taught = about if method.uses_teacher else None
            masks = prepare.MaskChoice(options.mask_ratio, *chosen)
            lineage = prepare.describe(faces, masks, drift.describe(drifts), taught, parent)
            prepare.open_folder(options, size, lineage)
            people.remember(out, faces, held, ancestors)
            print(f"alignment drift: {drift.describe(drifts)}")
        ranks.wait()
        checkpoint.restore(out, state, course.total)
        bank = options.bank_settings
        known = prepare.relations(method, bank, faces, teacher, device, ranks, seed=options.seed)
        beside = teacher if options.teacher_view == "same" else None
        del teacher  # where the bank stands for it, onnxruntime gives its arena back
        network = _network(state, ranks, device, options.compile)
        rules = (options.numerics, options.targets, options.regularisation, renderer)
        stepper = Stepper(network, _terms(method), known, beside, faces, ranks, device, *rules)
        order = _order(options.sampling, known.labels, options.seed)
        plan = _plan(order, options.batch_size, course, state.step, ranks)
        loader = batches(dataset, plan, options.workers, pin=device.type == "cuda")
        shown, board = ranks.first, options.tensorboard
        with open_journal(out, state.step, course.total, shown=shown, board=board) as journal:
            outcome = Outcome(out, journal, validation, options.weight_share)
            _train(
                stepper, state, loader, course, options.rate_schedule, options.intervals, outcome
            )
        ranks.wait()
    return out / weights.STUDENT


def _renderer(dataset: StudentViews, device: torch.device) -> ViewRenderer | None:
    """Load what views are drawn with: masks that cannot be loaded are refused here."""
    masks = dataset.prepare().library
    return ViewRenderer(masks, device) if dataset.planned else None


def _make_state(
    student: nn.Module,
    sizes: tuple[int, int],
    head: nn.Module | None,
    descent: Descent,
    layers: Layers,
    averaged: bool,
) -> State:
    """Put the student beside a projector to the teacher's size, if it has another, the method's
    head and an optimiser of all.
    """
    device = next(student.parameters()).device
    projector = nn.Identity() if sizes[0] == sizes[1] else nn.Linear(*sizes, bias=False)
    projector, kept_head = projector.to(device), nn.Identity() if head is None else head.to(device)
    optimiser = optimise.make_optimiser(student, [projector, kept_head], descent, layers)
    initial = {key: value.detach().clone() for key, value in student.state_dict().items()}
    average = dict(initial) if averaged else None
    return State(student, projector, kept_head, optimiser, initial, average)


def _terms(method: Method) -> Callable[[Batch, nn.Module], Terms]:
    """Compute a method's terms with the head that a state keeps."""

    def terms(batch: Batch, head: nn.Module) -> Terms:
        return method.terms(batch, None if isinstance(head, nn.Identity) else head)

    return terms


def _network(
    state: State, ranks: Ranks, device: torch.device, compiled: bool
) -> Callable[[Tensor], Tensor]:
    network: Any = nn.Sequential(state.student, state.projector)
    if compiled:
        network = torch.compile(network)
    if ranks.world > 1:
        ids = [device.index or 0] if device.type == "cuda" else None
        network = nn.parallel.DistributedDataParallel(network, device_ids=ids)
    return network


def _order(sampling: str, labels: np.ndarray, seed: int) -> Order:
    by_person = sampling == "identities"
    return every_person(labels, seed) if by_person else every_face(len(labels), seed)


def _plan(order: Order, batch: int, course: Course, step: int, ranks: Ranks) -> BatchPlan:
    start, end = step * course.accumulate, course.total * course.accumulate
    return BatchPlan(order, batch, end, start=start, rank=(ranks.rank, ranks.world))


def _train(
    stepper: Stepper,
    state: State,
    loader: DataLoader,
    course: Course,
    schedule: RateSchedule,
    intervals: Intervals,
    outcome: Outcome,
) -> None:
    first, journal = stepper.ranks.first, outcome.journal
    every = intervals.validate or max(1, round(course.per_epoch))
    views = iter(loader)
    while state.step < course.total:
        rate = optimise.set_learning_rate(state.optimiser, schedule, state.step, course.total)
        measured = (state.step + 1) % intervals.log == 0 or state.step == 0
        with journal.waiting():
            batch = [next_batch(views) for _ in range(course.accumulate)]
        figures = stepper.step(state, batch, measured)
        state.step += 1
        ends = state.step == course.total
        journal.step(course.faces)
        if measured:
            outcome.log(state, figures, rate, course.per_epoch)
        if state.step % every == 0 or ends:
            outcome.validate(state)
        if first and (state.step % intervals.save == 0 or ends):
            checkpoint.save(outcome.folder, state)
    journal.close()  # the bar ends before what comes last is printed
    if first:
        outcome.finish(state)
