"""What `kit.py evaluate` does: embed a set with every model, measure, and compare."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path

from mfr_kit import cluster
from mfr_kit.data.face_set.faceset import NONMASK, FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation import compare, recognition
from mfr_kit.evaluation import subjects as whom
from mfr_kit.evaluation.bench import Bench, Maps
from mfr_kit.evaluation.inputs.alignment import match
from mfr_kit.evaluation.inputs.drawn_masks import MaskedFaces
from mfr_kit.evaluation.options import EvaluateOptions
from mfr_kit.evaluation.published.bin_sets import BinSet, open_bins
from mfr_kit.evaluation.published.challenge import challenge_scores
from mfr_kit.evaluation.published.templates import TemplatePairs, open_templates
from mfr_kit.evaluation.report.operating_point import operating_point
from mfr_kit.evaluation.result import Evaluation
from mfr_kit.evaluation.subjects import Subjects
from mfr_kit.evaluation.verification.groups import face_sizes, head_turns
from mfr_kit.evaluation.verification.rates import DEFAULT_FARS, Outcome, Plan
from mfr_kit.evaluation.verification.worst import SHOWN
from mfr_kit.models import placement
from mfr_kit.models.embedding_pool import release
from mfr_kit.options import as_dict

SYNTHETIC = "synthetic-mask"


def evaluate(options: EvaluateOptions) -> Evaluation:
    """Measure models on a face set, on verification sets, or on both.

    Raises:
        KitError: a model or the set cannot be read, or a FAR asked for by name is supported by no
            protocol.
    """
    with cluster.connected(options.engine, options.address):
        return _evaluate(options)


def _evaluate(options: EvaluateOptions) -> Evaluation:
    how, models, protocols = options.recognition, options.models, options.protocol
    pair_sets: list[BinSet | TemplatePairs]
    pair_sets = [*open_bins(options.bin or []), *open_templates(options.ijb or [])]
    # whom, and by what
    subjects = subjects_of(options)
    plan = _plan(options, subjects)
    strangers = whom.open_strangers(options.distractors or [], models)
    galleries = [options.gallery] if options.gallery else []
    overlap = whom.trained_among(subjects, strangers, [*models, *galleries], options.allow_overlap)
    masked = _draw_masks(subjects, protocols or [], models, options.mask_seed)
    faceset, other, matched = _match(subjects, options.realigned)
    _refuse_files(options)
    # every model
    bench = Bench(faceset, other, pair_sets, plan, strangers, masked, how, protocols)
    outcomes: dict[str, dict[str, Outcome]] = {}
    abouts, maps = [], Maps(options.explain or 0)
    keys = None if subjects is None else subjects.whole.keys
    for number, recogniser in recognition.load_all(models, how, keys):
        abouts.append(recogniser.about())
        outcomes |= bench.measure(number, recogniser, maps)
    # side by side
    found = compare.side_by_side(outcomes, {pairs.protocol: pairs.title for pairs in pair_sets})
    if options.far:
        _refuse_unsupported(options.far, found)
    at = options.operating_point
    return Evaluation(
        command=shlex.join(["python", "kit.py", *sys.argv[1:]]),
        options=as_dict(options),
        set=None if subjects is None or faceset is None else subjects.about(faceset),
        realigned=matched and {**matched, "drift": bench.drift},
        bins=[pairs.about for pairs in pair_sets],
        models=abouts,
        overlap=overlap,
        protocols=found,
        challenge=challenge_scores(found, outcomes),
        explained=maps.side_by_side(),
        operating_point=operating_point(found, at) if at else None,
    )


def subjects_of(options: EvaluateOptions) -> Subjects | None:
    """Open the set and choose whom of it to measure; None without a set."""
    if options.data is None:
        return None
    return whom.choose(
        options.data, options.people, options.allow_unknown, options.sample_people, options.seed
    )


def _plan(options: EvaluateOptions, subjects: Subjects | None) -> Plan:
    plan = Plan(
        _fars(options.far, options.operating_point),
        options.resamples,
        options.seed,
        options.pairs,
        tell=_tell,
        device=placement.resolve_unless_cpu(options.device),
    )
    if subjects is None or options.data is None:
        return plan
    gallery = None
    if options.gallery is not None:
        keys = subjects.whole.keys
        source = recognition.load(options.gallery, options.recognition, keys)
        gallery = recognition.embed(source, subjects.measured, options.recognition)
        release(source)
    return replace(
        plan,
        enrol=options.enrol,
        allow_unknown=options.allow_unknown,
        gallery=gallery,
        groups=whom.groups_of(subjects.whole, options.groups, options.allow_unknown),
        yaws=head_turns(subjects.measured),
        sizes=face_sizes(subjects.measured),
        worst=SHOWN if options.out and options.faces else 0,
    )


def _fars(asked: list[float] | None, operating_far: float | None) -> tuple[float, ...]:
    fars = {*(asked or DEFAULT_FARS), *([operating_far] if operating_far else [])}
    return tuple(sorted(fars, reverse=True))


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def asks_for_masks(protocols: list[str]) -> bool:
    """Whether masks are drawn on the set's bare faces, which are embedded once more then."""
    return SYNTHETIC in [name.replace("_", "-") for name in protocols]


def _draw_masks(
    subjects: Subjects | None, protocols: list[str], models: list[str], seed: int
) -> MaskedFaces | None:
    if subjects is None or not asks_for_masks(protocols):
        return None
    flag = f"--protocol {SYNTHETIC}"
    recognition.refuse_files(models, flag, ", masked faces need the model")
    bare = int((subjects.measured.conditions == NONMASK).sum())
    with recognition.show_progress("drawing masks", bare) as progress:
        return MaskedFaces(subjects.measured, seed, progress)


def _match(
    subjects: Subjects | None, realigned: Path | None
) -> tuple[FaceSet | None, FaceSet | None, dict | None]:
    """Open the other alignment of the people to measure, and keep what both sets know."""
    if subjects is None:
        return None, None, None
    if realigned is None:
        return subjects.measured, None, None
    people = subjects.measured.people
    return match(subjects.measured, FaceSet.open(realigned).of_people(people))


def _refuse_files(options: EvaluateOptions) -> None:
    """Refuse stored embeddings where only the model can answer."""
    if options.explain:
        why = ", a map needs the model that makes them"
        recognition.refuse_files(options.models, "--explain", why)
    if options.realigned:
        why = " of one set, another alignment needs the model"
        recognition.refuse_files(options.models, "--realigned", why)
    if options.bin or options.ijb:
        why = " of a face set, a verification set needs the model"
        recognition.refuse_files(options.models, "--bin" if options.bin else "--ijb", why)


def _refuse_unsupported(fars: list[float], protocols: dict) -> None:
    rows = [
        row
        for entry in protocols.values()
        for result in entry["models"].values()
        for row in result["tar_at_far"]
    ]
    for far in fars:
        mine = [row for row in rows if row["far"] == far]
        if mine and all(row["threshold"] is None for row in mine):
            raise KitError(f"--far {far:g}: {mine[0]['note']}")
