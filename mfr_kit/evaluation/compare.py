"""Measure embeddings of one set by several protocols, and several models side by side."""

from collections.abc import Sequence

import numpy as np

from mfr_kit import registry
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.faces import Faces, from_set
from mfr_kit.evaluation.search.identification import (
    figure_in,
    figure_of_fpir,
    figure_of_rank,
    searches_of,
)
from mfr_kit.evaluation.verification.bootstrap import interval, to_text
from mfr_kit.evaluation.verification.pair_resamples import ACCURACY
from mfr_kit.evaluation.verification.rates import COMPARE, DEFAULT_FARS, Outcome, Plan, figure
from mfr_kit.progress import step_through

PROTOCOLS = "mfr_kit.evaluation.protocols"
RESAMPLED = "resampled"  # key of a result: its resampled figures, by which reports are paired


def evaluate_set(
    embeddings: np.ndarray,
    faceset: FaceSet,
    fars: Sequence[float] = DEFAULT_FARS,
    protocols: Sequence[str] | None = None,
) -> dict:
    """Measure one model's embeddings of a face set, without intervals: for a training loop or a
    pipeline.

    Args:
        embeddings: (len(faceset), D) float32 of any norm.
        faceset: whose faces they are, with its list of photographs in which none was found.
        fars: false-accept rates.
        protocols: names; by default all that the set's conditions allow.
    Returns:
        The result of `verification.verify` by protocol name, so
        `result["mask-nonmask"]["tar_at_far"][0]["tar"]`.
    Raises:
        KitError: see `faces.from_set`; an unknown protocol, or nothing to compare under it.
    """
    faces = from_set(embeddings, faceset)
    return {
        name: outcome.result
        for name, outcome in measure(faces, Plan(tuple(fars)), protocols).items()
    }


def measure(faces: Faces, plan: Plan, protocols: Sequence[str] | None = None) -> dict[str, Outcome]:
    """Run protocols (by default those the set can answer) on one model's faces."""
    names = list(protocols) if protocols else possible(faces, plan)
    return {name: _run(name, faces, plan) for name in step_through(names, "measuring", "protocols")}


def possible(faces: Faces, plan: Plan) -> list[str]:
    """List the protocols for which the set has something to compare, in the order of reports.

    Raises:
        KitError: none of them.
    """
    known = {name: registry.get(PROTOCOLS, name) for name in registry.names(PROTOCOLS)}
    fitting = [name for name, protocol in known.items() if protocol.comparable(faces, plan)]
    if not fitting:
        raise KitError(
            "nothing to compare: no person of this set has two photographs (or all its "
            "photographs show one person)"
        )
    return sorted(fitting, key=lambda name: known[name].ORDER)


def side_by_side(
    outcomes: dict[str, dict[str, Outcome]], titles: dict[str, str] | None = None
) -> dict:
    """Join the outcomes of several models.

    Args:
        outcomes: by model, then by protocol; the first model is the one the others are compared
            with.
        titles: of what is measured besides the protocols.
    Returns:
        By protocol: `title`, `models` (the result by model, with its `resampled` figures as
        texts) and `differences` (each later model
        less the first, with paired intervals); where galleries were searched
        `identification_differences`, the same for ranks and FNIR (`figure`), and of lists of pairs
        `accuracy_differences`.
    """
    first = next(iter(outcomes))
    joined = {}
    for name in outcomes[first]:
        results = {model: _with_resamples(outcome[name]) for model, outcome in outcomes.items()}
        pairs = [(first, other) for other in outcomes if other != first]
        rows = [
            row
            for base, other in pairs
            for row in _differences(base, other, outcomes[base][name], outcomes[other][name])
        ]
        title = (titles or {}).get(name) or registry.get(PROTOCOLS, name).TITLE
        joined[name] = {"title": title, "models": results, "differences": rows}
        if ACCURACY in results[first]:
            joined[name]["accuracy_differences"] = [
                row
                for base, other in pairs
                for row in _accuracies(base, other, outcomes[base][name], outcomes[other][name])
            ]
        if searches_of(results[first]):
            changes = [
                row
                for base, other in pairs
                for row in _searches(base, other, outcomes[base][name], outcomes[other][name])
            ]
            joined[name]["identification_differences"] = changes
    return joined


def _with_resamples(outcome: Outcome) -> dict:
    if not outcome.resampled:
        return outcome.result
    return {**outcome.result, RESAMPLED: to_text(outcome.resampled)}


def _differences(base: str, other: str, before: Outcome, after: Outcome) -> list[dict]:
    rows = []
    for old, new in zip(before.result["tar_at_far"], after.result["tar_at_far"], strict=True):
        key = figure(old["far"])
        enough = min(line["false_accepts"] or 0 for line in (old, new)) >= COMPARE
        if not enough or key not in before.resampled:
            continue
        change = after.resampled[key] - before.resampled[key]
        rows.append(
            {
                "far": old["far"],
                "model": other,
                "against": base,
                "tar_difference": new["tar"] - old["tar"],
                "interval": interval(change),
            }
        )
    return rows


def _accuracies(base: str, other: str, before: Outcome, after: Outcome) -> list[dict]:
    if ACCURACY not in before.resampled:
        return []
    means = [outcome.result[ACCURACY]["mean"] for outcome in (before, after)]
    change = interval(after.resampled[ACCURACY] - before.resampled[ACCURACY])
    about = {"figure": ACCURACY, "model": other, "against": base}
    return [{**about, "difference": means[1] - means[0], "interval": change}]


def _searches(base: str, other: str, before: Outcome, after: Outcome) -> list[dict]:
    rows = []
    for figure_name, (old, new) in _figures(before.result, after.result).items():
        if figure_name in before.resampled:
            change = interval(after.resampled[figure_name] - before.resampled[figure_name])
            rows.append(
                {
                    "figure": figure_name,
                    "model": other,
                    "against": base,
                    "difference": new - old,
                    "interval": change,
                }
            )
    return rows


def _figures(before: dict, after: dict) -> dict[str, tuple[float, float]]:
    """Pair the figures of two models' searches: of several galleries rank 1 only, of FNIR what
    rests on enough false positives.
    """
    pairs = {}
    for (name, old), (_, new) in zip(searches_of(before), searches_of(after), strict=True):
        for a, b in zip(old["cmc"], new["cmc"], strict=True):
            if not name or a["rank"] == 1:
                pairs[figure_in(figure_of_rank(a["rank"]), name)] = a["rate"], b["rate"]
        for a, b in zip(old["open_set"], new["open_set"], strict=True):
            if min(line["false_positives"] or 0 for line in (a, b)) >= COMPARE:
                pairs[figure_in(figure_of_fpir(a["fpir"]), name)] = a["fnir"], b["fnir"]
    return pairs


def _run(name: str, faces: Faces, plan: Plan) -> Outcome:
    try:
        return registry.get(PROTOCOLS, name).measure(faces, plan)
    except KitError as error:
        raise KitError(f"protocol {name}: {error}") from None
