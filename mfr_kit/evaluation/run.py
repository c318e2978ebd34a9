"""What `kit.py evaluate` does: embed a set with every model, measure, compare, and write the
report.
"""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from mfr_kit import __version__
from mfr_kit.data import lists
from mfr_kit.data.face_set.faceset import MASK, NO_FACE, NONMASK, FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation import compare
from mfr_kit.evaluation.inputs.alignment import NEW, OLD, match
from mfr_kit.evaluation.inputs.drawn_masks import MaskedFaces
from mfr_kit.evaluation.inputs.embed import cache_folder, embed_set
from mfr_kit.evaluation.inputs.embedding_file import EmbeddingFile, is_embedding_file, read_rows
from mfr_kit.evaluation.inputs.faces import Faces, from_set, strangers_from
from mfr_kit.evaluation.inputs.overlap import count_trained, find_overlap
from mfr_kit.evaluation.options import EvaluateOptions
from mfr_kit.evaluation.published import bin_sets, templates
from mfr_kit.evaluation.published.bin_sets import BinSet, open_bins
from mfr_kit.evaluation.published.challenge import challenge_scores
from mfr_kit.evaluation.published.templates import TemplatePairs, open_templates
from mfr_kit.evaluation.report import explain
from mfr_kit.evaluation.report.operating_point import operating_point
from mfr_kit.evaluation.verification.groups import groups_among, head_turns
from mfr_kit.evaluation.verification.rates import DEFAULT_FARS, Outcome, Plan
from mfr_kit.evaluation.verification.worst import SHOWN
from mfr_kit.models import placement
from mfr_kit.models.embedders import Embedder, load_embedder
from mfr_kit.options import as_dict
from mfr_kit.seeding import key_of, rng_for

SCHEMA = "mfr-kit/evaluation/1"
SYNTHETIC = "synthetic-mask"
GROUPS = "groups.csv"  # in a face set's folder


def evaluate(options: EvaluateOptions) -> dict:
    """Measure models on a face set, on verification sets, or on both.

    Returns:
        The report as plain values, as `report.json` holds it: `schema`, `command`, `options`, `set`
        (or None), `realigned` (what two alignments share, or None), `bins`, `models`, `overlap` (of
        `overlap.find_overlap`), and by protocol (or verification set) `title`, `models` (each with
        the result of `verification.verify`) and `differences`; `challenge`, the challenge's score
        by model where both of its halves were measured; `explained`, what the scores of some pairs
        rest on, and `operating_point`, where they were asked for. Under two alignments every model
        stands twice among the `models` of a protocol, as `NAME, old alignment` and `NAME, new
        alignment`.
    Raises:
        KitError: a model or the set cannot be read, or a FAR asked for by name is supported by no
            protocol.
    """
    bins = [*open_bins(options.bin or []), *open_templates(options.ijb or [])]
    whole = FaceSet.open(options.data) if options.data else None
    faceset, sampled = _chosen(whole, options)
    plan = _plan(options, whole, faceset)
    strangers = _strangers(options)
    overlap = _overlap(options, faceset, strangers)
    drawn = _draw_masks(options, faceset)
    faceset, realigned, matched = _realigned(options, faceset)
    outcomes, models, chosen, explained = {}, [], [], {}
    for number, (spec, embedder) in enumerate(_embedders(options, whole)):
        label = _label(spec, embedder.name, {model["name"] for model in models})
        if realigned is not None:
            outcomes |= _both_alignments(label, embedder, (faceset, realigned), plan, options)
            models.append(_about(label, spec, embedder))
            continue
        outcomes[label] = {}
        if faceset is not None:
            faces = _embed(embedder, faceset, options)
            its = _with_masks(
                _with_strangers(plan, strangers, number, embedder, options),
                drawn,
                embedder,
                options,
            )
            outcomes[label] = compare.measure(faces, its, options.protocol)
        outcomes[label] |= {
            one.protocol: _measure_bin(embedder, one, plan, options) for one in bins
        }
        models.append(_about(label, spec, embedder))
        if options.explain:
            chosen = chosen or explain.choose(faces, options.explain)
            explained[label] = explain.explain(
                embedder, faceset, faces, chosen, options.flip, options.batch
            )
    protocols = compare.side_by_side(outcomes, {one.protocol: one.title for one in bins})
    if options.far:
        _refuse_unsupported(options.far, protocols)
    return {
        "schema": SCHEMA,
        "kit_version": __version__,
        "command": shlex.join(["python", "kit.py", *sys.argv[1:]]),
        "options": as_dict(options),
        "set": None if faceset is None else {**_about_set(faceset), "sampled": sampled},
        "realigned": matched,
        "bins": [one.about for one in bins],
        "models": models,
        "overlap": overlap,
        "protocols": protocols,
        "challenge": challenge_scores(protocols, outcomes),
        "explained": explain.concatenate(faces, chosen, explained) if options.explain else None,
        "operating_point": operating_point(protocols, options.operating_point)
        if options.operating_point
        else None,
    }


def _overlap(
    options: EvaluateOptions, faceset: FaceSet | None, strangers: FaceSet | list[Faces] | None
) -> list[dict]:
    """Refuse, or report, people that a model was trained on: among those measured and among
    strangers with names.
    """
    if faceset is None:
        return []
    measured = set(faceset.people)
    if isinstance(strangers, FaceSet):
        measured |= set(strangers.people)
    models = [*options.models, *([options.gallery] if options.gallery else [])]
    return find_overlap(models, measured, options.allow_overlap)


def _plan(options: EvaluateOptions, whole: FaceSet | None, faceset: FaceSet | None) -> Plan:
    device = placement.resolve_unless_cpu(options.device)
    plan = Plan(
        _fars(options), options.resamples, options.seed, options.pairs, tell=_tell, device=device
    )
    if faceset is None:
        return plan
    named = SHOWN if options.out and options.faces else 0
    plan = replace(plan, enrol=options.enrol, allow_unknown=options.allow_unknown)
    return replace(
        plan,
        gallery=_gallery(options, whole, faceset),
        groups=_groups(options, whole),
        yaws=head_turns(faceset),
        worst=named,
    )


def _draw_masks(options: EvaluateOptions, faceset: FaceSet | None) -> MaskedFaces | None:
    if SYNTHETIC not in [name.replace("_", "-") for name in options.protocol or ()]:
        return None
    files = [spec for spec in options.models if is_embedding_file(spec)]
    if files:
        raise KitError(
            f"--protocol {SYNTHETIC}: {files[0]} holds embeddings, masked faces need the model: "
            "leave one of the two out"
        )
    with _progress("drawing masks", int((faceset.conditions == NONMASK).sum())) as progress:
        return MaskedFaces(faceset, options.mask_seed, progress)


def _with_masks(
    plan: Plan, drawn: MaskedFaces | None, embedder: Embedder, options: EvaluateOptions
) -> Plan:
    if drawn is None:
        return plan
    return replace(plan, masked=drawn.faces(_raw(embedder, drawn, options)), draw=drawn.about)


def _strangers(options: EvaluateOptions) -> FaceSet | list[Faces] | None:
    """Open the distractors: a second set's unmasked faces, or the faces that each model's file
    of embeddings holds.
    """
    given = options.distractors or []
    if not given:
        return None
    rows = [name for name in given if is_embedding_file(name)]
    if len(given) != (len(options.models) if rows else 1) or rows not in ([], given):
        counted = (
            f"{len(given) - len(rows)} face sets and {len(rows)} files of embeddings for "
            f"{len(options.models)} models"
        )
        raise KitError(
            f"--distractors: {counted}; give one face set, or one file of embeddings each model, "
            "in their order"
        )
    if rows:
        return [strangers_from(*read_rows(Path(name))) for name in rows]
    files = [spec for spec in options.models if is_embedding_file(spec)]
    if files:
        raise KitError(
            f"--distractors {given[0]}: {files[0]} holds embeddings of another set; give a file "
            "of the distractors' embeddings"
        )
    return FaceSet.open(Path(given[0])).clean()


def _with_strangers(
    plan: Plan, strangers, number: int, embedder: Embedder | EmbeddingFile, options: EvaluateOptions
) -> Plan:
    if strangers is None:
        return plan
    return replace(
        plan,
        distractors=strangers[number]
        if isinstance(strangers, list)
        else _embed(embedder, strangers, options),
    )


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _fars(options: EvaluateOptions) -> tuple[float, ...]:
    asked = list(options.far or DEFAULT_FARS)
    extra = (
        [options.operating_point]
        if options.operating_point and options.operating_point not in asked
        else []
    )
    return tuple(sorted([*asked, *extra], reverse=True))


def _gallery(options: EvaluateOptions, whole: FaceSet, faceset: FaceSet) -> Faces | None:
    if options.gallery is None:
        return None
    return _embed(_load(options.gallery, options.normalisation, whole, options), faceset, options)


def _groups(options: EvaluateOptions, whole: FaceSet) -> dict[str, str] | None:
    """Read the groups of people of the whole set, of whom only a part may be measured."""
    path = options.groups or options.data / GROUPS
    if not (options.groups or path.is_file()):
        return None
    return groups_among(path, whole, options.allow_unknown)


def _chosen(whole: FaceSet | None, options: EvaluateOptions) -> tuple[FaceSet | None, dict | None]:
    """Return the people to measure, and of a sample how many it is of."""
    faceset = _of_people(whole, options) if options.people else whole
    if not options.sample_people or options.sample_people >= len(faceset.people):
        return faceset, None
    about = {
        "people": options.sample_people,
        "of_people": len(faceset.people),
        "of_faces": len(faceset),
        "seed": options.seed,
    }
    names = rng_for(options.seed, key_of("sample of people")).choice(
        faceset.people, options.sample_people, replace=False
    )
    return faceset.of_people(names.tolist()), about


def _realigned(
    options: EvaluateOptions, faceset: FaceSet | None
) -> tuple[FaceSet | None, FaceSet | None, dict | None]:
    """Open the other alignment of the people to measure, and keep what both sets know."""
    if options.realigned is None:
        return faceset, None, None
    return match(faceset, FaceSet.open(options.realigned).of_people(faceset.people))


def _both_alignments(
    label: str,
    embedder: Embedder,
    sets: tuple[FaceSet, FaceSet],
    plan: Plan,
    options: EvaluateOptions,
) -> dict:
    """Measure a model under both alignments; the pictures of a report are those of `--data`, so
    only its errors are named.
    """
    plans = plan, replace(plan, yaws=head_turns(sets[1]), worst=0)
    return {
        f"{label}, {name}": compare.measure(_embed(embedder, one, options), its, options.protocol)
        for name, one, its in zip((OLD, NEW), sets, plans, strict=True)
    }


def _of_people(faceset: FaceSet, options: EvaluateOptions) -> FaceSet:
    choice = faceset.chosen(options.people, "--people", options.allow_unknown)
    chosen = faceset.of_people(choice.found)
    if not len(chosen):
        raise KitError(
            f"none of the {choice.entries} people of {options.people} has a face in {options.data}"
        )
    lists.echo("people", [choice], f"{len(chosen):,} faces" + chosen.without_face())
    return chosen


def _embedders(
    options: EvaluateOptions, whole: FaceSet | None
) -> Iterator[tuple[str, Embedder | EmbeddingFile]]:
    files = [spec for spec in options.models if is_embedding_file(spec)]
    if options.explain and files:
        raise KitError(
            f"--explain: {files[0]} holds embeddings, a map needs the model that makes them: "
            "leave one of the two out"
        )
    if options.realigned and files:
        raise KitError(
            f"--realigned: {files[0]} holds embeddings of one set, another alignment needs the "
            "model: leave one of the two out"
        )
    if (options.bin or options.ijb) and files:
        flag = "--bin" if options.bin else "--ijb"
        raise KitError(
            f"{flag}: {files[0]} holds embeddings of a face set, a verification set needs the "
            "model: leave one of the two out"
        )
    for spec in options.models:
        yield spec, _load(spec, options.normalisation, whole, options)


def _load(
    spec: str, normalisation: str | None, whole: FaceSet | None, options: EvaluateOptions
) -> Embedder | EmbeddingFile:
    if not is_embedding_file(spec):
        return load_embedder(
            spec,
            normalisation=normalisation,
            threads=options.threads,
            output=options.output,
            device=options.device,
            precision=options.precision,
        )
    if options.flip:
        raise KitError(
            f"--flip: {spec} holds embeddings, there is nothing to mirror; add the mirrored ones "
            "where they are made"
        )
    return EmbeddingFile(Path(spec), whole.keys)


def _embed(embedder: Embedder | EmbeddingFile, faceset: FaceSet, options: EvaluateOptions) -> Faces:
    if isinstance(embedder, EmbeddingFile):
        return from_set(embedder.of(faceset), faceset)
    return from_set(_raw(embedder, faceset, options), faceset)


def _raw(
    embedder: Embedder, faceset: FaceSet | MaskedFaces, options: EvaluateOptions
) -> np.ndarray:
    cache = cache_folder() if options.cache else None
    with _progress(f"embedding with {embedder.name}", len(faceset)) as progress:
        return embed_set(
            embedder,
            faceset,
            flip=options.flip,
            batch=options.batch,
            cache=cache,
            progress=progress,
        )


def _measure_bin(
    embedder: Embedder, pairs: BinSet | TemplatePairs, plan: Plan, options: EvaluateOptions
) -> Outcome:
    cache = cache_folder() if options.cache else None
    with _progress(f"embedding {pairs.name} with {embedder.name}", len(pairs)) as progress:
        measure = templates.measure if isinstance(pairs, TemplatePairs) else bin_sets.measure
        return measure(embedder, pairs, plan, batch=options.batch, cache=cache, progress=progress)


@contextmanager
def _progress(what: str, total: int):
    from tqdm import tqdm

    with tqdm(total=total, desc=what, unit="face", leave=False, disable=None) as bar:
        yield bar.update


def _label(spec: str, name: str, taken: set[str]) -> str:
    return name if name not in taken else spec


def _about(label: str, spec: str, embedder: Embedder) -> dict:
    return {
        "name": label,
        "given": spec,
        "fingerprint": embedder.fingerprint,
        "embedding_size": embedder.embedding_size,
        "lineage": embedder.lineage,
        "trained_people": count_trained(spec),
    }


def _about_set(faceset: FaceSet) -> dict:
    reasons: dict[str, int] = {}
    for row in faceset.skipped:
        reasons[row["reason"]] = reasons.get(row["reason"], 0) + 1
    lost = [row["condition"] for row in faceset.skipped if row["reason"] == NO_FACE]
    return {
        "name": faceset.name,
        "fingerprint": faceset.fingerprint,
        "faces": len(faceset),
        "people": len(faceset.people),
        "conditions": {name: int((faceset.conditions == name).sum()) for name in (NONMASK, MASK)},
        "not_found": {name: lost.count(name) for name in (NONMASK, MASK)},
        "skipped": reasons,
    }


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
