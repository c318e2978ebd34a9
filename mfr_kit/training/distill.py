"""The training loop: from options to a run folder with student.pt in it."""

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from mfr_kit import interrupts
from mfr_kit.errors import Stopped
from mfr_kit.masks import library
from mfr_kit.models import weights
from mfr_kit.training import (
    checkpoint,
    head_shards,
    networks,
    optimise,
    own_space,
    people,
    preflight,
    prepare,
    rank_errors,
)
from mfr_kit.training import ranks as distributed
from mfr_kit.training.checkpoint import State
from mfr_kit.training.checkpoint_saver import CheckpointSaver
from mfr_kit.training.journal import open_journal
from mfr_kit.training.options import RunOptions
from mfr_kit.training.outcome import Outcome
from mfr_kit.training.pulse import Pulse
from mfr_kit.training.ranks import Ranks
from mfr_kit.training.settings import Course, Intervals, RateSchedule
from mfr_kit.training.step import Stepper
from mfr_kit.training.validation import Validation
from mfr_kit.training.views import drift
from mfr_kit.training.views.loader import (
    BatchPlan,
    StudentViews,
    batches,
)
from mfr_kit.training.views.order import Order, every_face, every_person
from mfr_kit.training.views.view_renderer import ViewRenderer, renders_there


def distill(options: RunOptions) -> Path:
    """Train a student and return its weights file.

    Raises:
        KitError: anything about data, options, teacher or folder that the user can mend.
        Stopped: Ctrl-C or SIGTERM; what was done is saved.
    """
    device, ranks = distributed.start(
        options.device, options.timeout, options.precision, options.threads
    )
    if distributed.were_restarted():
        options = replace(options, resume=True)
    with rank_errors.shared(ranks):
        step, total = _distill(options, device, ranks)
    if step < total:
        text = f"stopped after step {step:,} of {total:,}, which {options.out} holds"
        raise Stopped(text, () if options.resume else ("--resume",))
    return options.out / weights.STUDENT


def _distill(options: RunOptions, device: torch.device, ranks: Ranks) -> tuple[int, int]:
    """Train; return the step it came to, and how many there are."""
    out, method, ancestors = options.out, options.chosen_method, options.ancestors
    # who is trained on, and what they are seen as
    preflight.refuse_taken(out, options.resume)
    faces, held, seen = people.split(options.data, options.lists, ancestors, echo=ranks.first)
    if preflight.holds_run(out):
        people.expect_same(out, faces, held)
    preflight.check_run(options.bank, method, tensorboard=options.tensorboard)
    preflight.check_pass(options.batch_size, faces, options.sampling, ranks.world, method)
    drifts = drift.choose_table(seen, options.drift_table)
    del seen  # rows of millions of faces, perhaps
    chosen = (options.masks, options.mask_folder, options.mask_mix)
    planned = renders_there(options.render_on, device)
    dataset = StudentViews(faces, options.recipe, options.seed, chosen, drifts, planned=planned)
    renderer = _renderer(dataset, device)
    validation = Validation(held, functools.partial(library.load, *chosen)) if held else None
    # who teaches whom
    teacher = networks.load_teacher(
        options.teacher_spec, options.device, options.bank_engine if ranks.first else "local"
    )
    student, size, start = networks.make_student(options.student_spec, teacher, options.teacher)
    preflight.check_student(options.student, student, options.batch_size, options.frozen_norms)
    student = networks.put(student, device, options.channels_last)
    classes, sizes = faces.identity_count, (size, teacher.embedding_size)
    head = head_shards.make_head(method, classes, teacher.embedding_size, options.head_spec, ranks)
    state = networks.make_state(
        student,
        sizes,
        head,
        options.descent,
        options.layers,
        options.ema > 0,
        options.precision,
        own_space=options.has_own_graph and method.uses_teacher,
    )
    course = options.pace.course_over(len(faces), ranks.world)
    with prepare.sole_run(out, ranks.first) as expect_held:
        if ranks.first:
            taught_by = networks.describe(teacher) if method.uses_teacher else None
            origin = drift.describe(drifts, options.drift_table)
            masks = prepare.MaskChoice(options.mask_ratio, *chosen)
            lineage = prepare.describe(faces, masks, origin, taught_by, start)
            prepare.open_folder(options, size, lineage, getattr(student, "graph", None))
            people.remember(out, faces, held, ancestors)
            print(f"alignment drift: {origin}\n{course.summary(len(faces))}")
        # where the run stands, and what a step looks at
        ranks.wait()
        checkpoint.restore(out, state, course, head_shards.cut, echo=ranks.first)
        shard = head_shards.share_prototypes(method, classes, options.head_spec, ranks)
        relations = prepare.relate(
            method,
            options.bank_settings,
            faces,
            teacher,
            device,
            ranks,
            seed=options.seed,
            shard=shard,
        )
        own_space.align(state, relations, faces)
        live_teacher = teacher if options.teacher_view == "same" else None
        del teacher  # where the bank stands for it, onnxruntime gives its arena back
        network = networks.join(state, ranks, device, options.wrapping)
        rules = (options.numerics, options.targets, options.regularisation, renderer)
        stepper = Stepper(network, method, relations, live_teacher, faces, ranks, device, *rules)
        order = _order(options.sampling, relations.labels, options.seed, options.block)
        plan = BatchPlan(
            order,
            options.batch_size,
            course.total * course.accumulate,
            start=state.step * course.accumulate,
            rank=(ranks.rank, ranks.world),
            by_place=options.block > 0,
        )
        loader = batches(dataset, plan, options.workers, pin=device.type == "cuda")
        said = {"shown": ranks.first, "board": options.tensorboard}
        with open_journal(out, state.step, course.total, **said) as journal:
            outcome = Outcome(out, journal, validation, options.weight_share, ranks)
            _train(
                *(stepper, state, loader, course, options.rate_schedule, options.intervals),
                *(outcome, expect_held),
            )
        ranks.wait()
    return state.step, course.total


def _renderer(dataset: StudentViews, device: torch.device) -> ViewRenderer | None:
    """Load what views are drawn with: masks that cannot be loaded are refused here."""
    masks = dataset.prepare().library
    return ViewRenderer(masks, device) if dataset.planned else None


def _order(sampling: str, labels: np.ndarray, seed: int, block: int) -> Order:
    by_person = sampling == "identities"
    return every_person(labels, seed, block) if by_person else every_face(len(labels), seed, block)


def _train(
    stepper: Stepper,
    state: State,
    loader: DataLoader,
    course: Course,
    schedule: RateSchedule,
    intervals: Intervals,
    outcome: Outcome,
    expect_held: Callable[[], None],
) -> None:
    first, journal = stepper.ranks.first, outcome.journal
    saver = CheckpointSaver(outcome.folder, stepper.ranks, course.division)
    every = intervals.validate or max(1, round(course.per_epoch))
    with interrupts.unheard():  # it starts the workers
        views = iter(loader)
    feeds = stepper.feeder.ahead(views, course.accumulate)
    with interrupts.heeded("stopping after this step, which is saved") as request:
        pulse = Pulse(stepper.ranks, intervals.save, request)
        while state.step < course.total and not pulse.stops:
            rate = optimise.set_learning_rate(state.optimiser, schedule, state.step, course.total)
            measured = (state.step + 1) % intervals.log == 0 or state.step == 0
            with journal.waiting():
                batch = [next(feeds) for _ in range(course.accumulate)]
            figures = stepper.step(state, batch, measured)
            state.step += 1
            ends = state.step == course.total
            journal.step(course.faces)
            if measured:
                outcome.log(state, figures, rate, course.per_epoch)
            if state.step % every == 0 or ends:
                outcome.validate(state)
            saver.poll()
            if pulse.saves(state.step) or ends:
                expect_held()
                journal.keep()
                saver.save(state)
    saver.finish()
    journal.close()  # the bar ends before what comes last is printed
    if first and state.step == course.total:
        outcome.finish(state)
    journal.draw()
