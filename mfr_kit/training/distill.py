"""The training loop: from options to a run folder with student.pt in it."""

import functools
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from mfr_kit import registry
from mfr_kit.errors import KitError
from mfr_kit.masks import library
from mfr_kit.models import memory, weights
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.lineage import ancestor
from mfr_kit.training import checkpoint, optimise, people, preflight, prepare
from mfr_kit.training import ranks as distributed
from mfr_kit.training.board import Board
from mfr_kit.training.checkpoint import State
from mfr_kit.training.journal import Journal
from mfr_kit.training.options import METHODS, RunOptions
from mfr_kit.training.step import Stepper
from mfr_kit.training.validation import Validation
from mfr_kit.training.views import drift
from mfr_kit.training.views.loader import (
    BatchPlan,
    StudentViews,
    batches,
    every_face,
    every_person,
    next_batch,
)


def distill(options: RunOptions) -> Path:
    """Train a student and return its weights file.

    Raises:
        KitError: anything about data, options, teacher or folder that the user can mend.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    memory.keep_freed()
    device, ranks = distributed.start(options.device, options.timeout, options.precision)
    preflight.refuse_taken(options.out, options.resume)
    ancestors, given = people.ancestors_of(options), people.lists_of(options)
    faces, held, seen = people.split(options.data, given, ancestors, echo=ranks.first)
    if preflight.holds_run(options.out):
        people.expect_same(options.out, faces, held)
    preflight.check(options, faces, ranks.world)
    drifts = drift.measure_twins(seen)
    del seen  # rows of millions of faces, perhaps
    chosen = (options.masks, options.mask_folder, options.mask_mix)
    dataset = StudentViews(faces, options.recipe, options.seed, chosen, drifts)
    dataset.prepare()  # masks that cannot be loaded are refused here
    validation = None
    if held and ranks.first:
        validation = Validation(held, functools.partial(library.load, *chosen))
    teacher = load_embedder(
        options.teacher,
        normalisation=options.normalisation,
        threads=options.threads,
        device=device,
        output=options.output,
    )
    student, size, parent = prepare.make_student(options, teacher)
    preflight.check_student(options, student)
    sizes = (size, teacher.embedding_size)
    state, terms = _begin(options, student, sizes, len(set(faces.identities)), device)
    with prepare.sole_run(options.out, ranks.first):
        if ranks.first:
            taught = (
                ancestor(teacher.name, teacher.fingerprint, teacher.lineage)
                if prepare.uses_teacher(options)
                else None
            )
            masks = prepare.MaskChoice(options.mask_ratio, *chosen)
            lineage = prepare.describe(faces, masks, drift.describe(drifts), taught, parent)
            prepare.open_folder(options, size, lineage)
            people.remember(options.out, faces, held, ancestors)
            print(f"alignment drift: {drift.describe(drifts)}")
        ranks.wait()
        last_step = prepare.count_steps(options, len(faces), ranks.world)[1]
        checkpoint.restore(options.out, state, last_step)
        relations = prepare.relations(options, faces, teacher, device, ranks)
        if options.teacher_view == "clean":
            teacher = None  # the bank stands for it from here on; onnxruntime gives its arena back
        network = _network(state, options, ranks, device)
        stepper = Stepper(options, network, terms, relations, teacher, faces, ranks, device)
        board = None
        if options.tensorboard and ranks.first:
            board = Board(options.out / "tensorboard", state.step)
        journal = _journal(stepper, state, board)
        try:
            _train(stepper, state, dataset, validation, journal)
        finally:
            journal.close()
        ranks.wait()
    return options.out / weights.STUDENT


def _begin(
    options: RunOptions,
    student: nn.Module,
    sizes: tuple[int, int],
    classes: int,
    device: torch.device,
) -> tuple[State, callable]:
    method, own = registry.get(METHODS, options.method), options.of_method()
    head = method.head(own, classes, sizes[1]) if hasattr(method, "head") else None
    projector = nn.Identity() if sizes[0] == sizes[1] else nn.Linear(*sizes, bias=False)
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    student = student.to(device, memory_format=layout)
    projector, kept_head = projector.to(device), nn.Identity() if head is None else head.to(device)
    optimiser = optimise.make_optimiser(student, [projector, kept_head], options)
    initial = {key: value.detach().clone() for key, value in student.state_dict().items()}
    average = dict(initial) if options.ema else None

    def terms(batch, head):
        return method.terms(batch, own, None if isinstance(head, nn.Identity) else head)

    return State(student, projector, kept_head, optimiser, initial, average), terms


def _network(
    state: State, options: RunOptions, ranks: distributed.Ranks, device: torch.device
) -> nn.Module:
    network = nn.Sequential(state.student, state.projector)
    if options.compile:
        network = torch.compile(network)
    if ranks.world > 1:
        ids = [device.index or 0] if device.type == "cuda" else None
        network = nn.parallel.DistributedDataParallel(network, device_ids=ids)
    return network


def _train(
    stepper: Stepper,
    state: State,
    dataset: StudentViews,
    validation: Validation | None,
    journal: Journal,
) -> None:
    options, ranks, faces = stepper.options, stepper.ranks, stepper.faces
    per_epoch, total = prepare.count_steps(options, len(faces), ranks.world)
    by_person = options.sampling == "identities"
    order = (
        every_person(stepper.relations.labels, options.seed)
        if by_person
        else every_face(len(faces), options.seed)
    )
    done, batch = state.step * options.accumulate, options.batch_size
    plan = BatchPlan(
        order, batch, total * options.accumulate, start=done, rank=(ranks.rank, ranks.world)
    )
    every = options.val_every or max(1, round(per_epoch))
    views = iter(batches(dataset, plan, options.workers, pin=stepper.device.type == "cuda"))
    while state.step < total:
        (optimise.train_with_frozen_norms if options.frozen_norms else nn.Module.train)(
            state.student
        )
        rate = optimise.set_learning_rate(state.optimiser, options, state.step, total)
        measured = (state.step + 1) % options.log_every == 0 or state.step == 0
        figures = stepper.step(
            state, [next_batch(views) for _ in range(options.accumulate)], measured
        )
        state.step += 1
        journal.step(options.batch_size * options.accumulate * ranks.world)
        if measured:
            _log(journal, state, figures, rate, per_epoch)
        if validation is not None and (state.step % every == 0 or state.step == total):
            _validate(validation, stepper, state, journal)
        if ranks.first and (state.step % options.save_every == 0 or state.step == total):
            checkpoint.save(options.out, state)
    journal.close()  # the bar ends before what comes last is printed
    if ranks.first:
        _finish(options, state, validation, journal)


def _journal(stepper: Stepper, state: State, board: Board | None) -> Journal:
    options, ranks = stepper.options, stepper.ranks
    _, total = prepare.count_steps(options, len(stepper.faces), ranks.world)
    return Journal(options.out, state.step, total, ranks.first, board)


def _log(journal: Journal, state: State, figures: dict, rate: float, per_epoch: float) -> None:
    speed = journal.rate()
    line = {
        "step": state.step,
        "epoch": round(state.step / per_epoch, 4),
        **figures,
        "learning_rate": rate,
        "images_per_s": round(speed, 1),
    }
    journal.write(line, {"loss": figures["loss"], **figures["terms"], "img/s": speed})


def _validate(validation: Validation, stepper: Stepper, state: State, journal: Journal) -> None:
    """Measure the weights as they are, and keep them as best.pt if none were better."""
    result = _measured(validation, state.student, state.result())
    better = result.score > state.best
    if better:
        state.best = result.score
        weights.save_student(
            stepper.options.out / weights.BEST, state.result(), _matrix(state.projector)
        )
    about = validation.about
    journal.write(
        {"step": state.step, "validation": {**asdict(result), "score": result.score, **about}},
        {"score": result.score},
    )
    journal.say(
        f"step {state.step}: masked {result.masked:.4f}, clean {result.clean:.4f} at FAR "
        f"{result.far:g}, score {result.score:.4f}"
        f"{' (best)' if better else ''}; {about['set']}, {about['people']} people, masks "
        f"{about['masks']}"
    )
    journal.rate()


def _measured(validation: Validation, student: nn.Module, candidate: dict[str, Tensor]):
    """Measure some weights with the student's network, and give it its own weights back."""
    own = {key: value.clone() for key, value in student.state_dict().items()}
    student.load_state_dict(candidate)
    result = validation.measure(student.eval())
    student.load_state_dict(own)
    return result


def _finish(
    options: RunOptions, state: State, validation: Validation | None, journal: Journal
) -> None:
    """Write student.pt: the best weights (without validation the last), `weight_share` of the
    way from the initial ones.
    """
    chosen = options.out / weights.BEST if validation is not None else None
    end = weights.read_state(chosen) if chosen else state.result()
    start = {key: value.to(next(iter(end.values())).device) for key, value in state.initial.items()}
    share = options.weight_share
    final = end if share == 1 else optimise.interpolate(start, end, share)
    if not all(
        torch.isfinite(value).all() for value in final.values() if value.is_floating_point()
    ):
        raise KitError(f"the weights of {options.out} are not finite: lower --learning-rate")
    weights.save_student(options.out / weights.STUDENT, final, _matrix(state.projector))
    if validation is not None and share < 1:
        result = _measured(validation, state.student, final)
        journal.write(
            {
                "step": state.step,
                "kept": {**asdict(result), "score": result.score, "weight_share": share},
            },
            {},
        )
        print(
            f"kept {share:g} of the way: masked {result.masked:.4f}, clean "
            f"{result.clean:.4f}, score {result.score:.4f}"
        )


def _matrix(projector: nn.Module) -> Tensor | None:
    return None if isinstance(projector, nn.Identity) else projector.weight.detach().cpu().clone()
