"""The plots of one protocol: ROC, DET, scores of each model, TAR by groups of probes.

A colour is a model, on the whole page; a filled outline is the same person, a dashed one different
people. Panels that stand side by side have the same scales.
"""

import math
import re

from mfr_kit.evaluation.report import plot
from mfr_kit.evaluation.verification.groups import NO_FACE, RESOLUTION, TURN, UNKNOWN
from mfr_kit.evaluation.verification.rates import CLAIM

FAR, TAR = "false-accept rate (FAR)", "true-accept rate (TAR)"
HIGHEST = 0.5  # FAR at the right edge of a DET plot


def panels(entry: dict) -> list[dict]:
    """Draw a protocol of a report: `title`, `svg` and `note` of each plot."""
    models = entry["models"]
    limit = claim_limit(models)
    grouped = [_by_group(models, by) for by in (TURN, RESOLUTION)]
    curves = [_roc(models, limit), _det(models, limit), *_scores(models)]
    return [*curves, *(panel for panel in grouped if panel)]


def claim_limit(models: dict) -> float:
    """Return the smallest FAR at which all models of a protocol may have a claim, at most 1."""
    return min(1.0, max(CLAIM / result["comparisons"]["impostor"] for result in models.values()))


def _roc(models: dict, limit: float) -> dict:
    x = plot.rates(FAR, _start(limit))
    points = {name: _inside(x, _curve(result)) for name, result in models.items()}
    y = plot.percents(TAR, min((tar for row in points.values() for _, tar in row), default=0.0))
    marks = {
        name: [
            (row.get("far_measured", row["far"]), row["tar"])
            for row in result["tar_at_far"]
            if row["tar"] is not None
        ]
        for name, result in models.items()
    }
    note = f"Dots: the rates of the table. {_shade_note(limit)}"
    if y.ticks[0]:
        note += f" The upward axis begins at {100 * y.ticks[0]:.0f} %."
    svg = plot.chart("ROC", x, y, points, marks, limit)
    return {"title": "ROC", "svg": svg, "note": note}


def _det(models: dict, limit: float) -> dict:
    x = plot.deviates(FAR, _start(limit), HIGHEST)
    # a rate of no miss at all has no place on an axis of deviates: the curve ends before it
    points = {
        name: _inside(x, [(far, 1 - tar) for far, tar in _curve(result) if tar < 1])
        for name, result in models.items()
    }
    missed = [rate for row in points.values() for _, rate in row] or [1e-3, 0.5]
    y = plot.deviates("false non-match rate", min(missed), max(missed))
    note = (
        "Both axes in normal deviates; lower is better. A curve ends where no comparison is missed."
    )
    svg = plot.chart("DET", x, y, points, {}, limit)
    return {"title": "DET", "svg": svg, "note": f"{note} {_shade_note(limit)}"}


def _scores(models: dict) -> list[dict]:
    """One histogram a model, all on the same scales."""
    shares = [
        number / max(sum(result["histogram"][kind]), 1)
        for result in models.values()
        for kind in ("genuine", "impostor")
        for number in result["histogram"][kind]
    ]
    used = [
        start
        for result in models.values()
        for at, start in enumerate(result["histogram"]["from"])
        if result["histogram"]["genuine"][at] or result["histogram"]["impostor"][at]
    ]
    width = next(iter(models.values()))["histogram"]["width"]
    fifths = range(math.floor(min(used) * 5), math.ceil((max(used) + width) * 5) + 1)
    x = plot.Axis("cosine", [fifth / 5 for fifth in fifths], float, lambda value: f"{value:.1f}")
    peak = plot.span("share of comparisons", 0.0, max(shares))
    y = plot.Axis(peak.label, peak.ticks, float, lambda value: f"{100 * value:g} %")
    return [
        _histogram(f"Scores of {name}", at, result, x, y)
        for at, (name, result) in enumerate(models.items())
    ]


def _histogram(title: str, colour: int, result: dict, x: plot.Axis, y: plot.Axis) -> dict:
    lines = [
        (row["threshold"], f"FAR {row['far']:g}")
        for row in result["tar_at_far"]
        if row["tar"] is not None
    ]
    bins = result["histogram"]
    counts = {"same person": bins["genuine"], "different people": bins["impostor"]}
    svg = plot.bars(title, x, y, (bins["from"], bins["width"]), counts, lines, colour)
    note = "Filled: same person. Dashed: different people. Upright lines: thresholds."
    return {"title": title, "svg": svg, "note": note}


def _by_group(models: dict, by: str) -> dict | None:
    """TAR of the probes' ranges at the smallest FAR that all models claim; None where fewer than
    two ranges have comparisons enough.
    """
    results = list(models.values())
    fars = [
        at
        for at, row in enumerate(results[0]["tar_at_far"])
        if all(result["tar_at_far"][at]["tar"] is not None for result in results)
    ]
    known = [
        number
        for number, row in enumerate(results[0].get("groups", ()))
        if row["by"] == by
        and row["group"] != UNKNOWN
        and row["genuine"] >= CLAIM
        and row["group"] != NO_FACE
    ]
    if not fars or len(known) < 2:
        return None
    at = min(fars, key=lambda at: results[0]["tar_at_far"][at]["far"])
    names = [short_range(results[0]["groups"][number]["group"]) for number in known]
    points = {
        name: [
            (float(place), result["groups"][number]["tar"][at])
            for place, number in enumerate(known)
        ]
        for name, result in models.items()
    }
    ends = [-0.5, *range(len(known)), len(known) - 0.5]
    x = plot.Axis(
        by, ends, float, lambda value: names[int(value)] if value in range(len(names)) else ""
    )
    y = plot.percents(TAR, min(tar for row in points.values() for _, tar in row))
    counts = (
        f"{name} {results[0]['groups'][number]['genuine']:,}"
        for name, number in zip(names, known, strict=True)
    )
    note = (
        f"At FAR {results[0]['tar_at_far'][at]['far']:g}, thresholds of all probes. Comparisons of "
        f"the same person: {'; '.join(counts)}."
    )
    if y.ticks[0]:
        note += f" The upward axis begins at {100 * y.ticks[0]:.0f} %."
    svg = plot.chart(f"TAR by {by}", x, y, points, points)
    return {"title": f"TAR by {by}", "svg": svg, "note": note}


def short_range(group: str) -> str:
    """Write "00 to 15 degrees" as "0–15°", "224 pixels and more" as "224+ px"; other groups as they
    are.
    """
    found = re.fullmatch(r"([0-9]+)(?: to ([0-9]+))? (degrees|pixels)(?: and more)?", group)
    if found is None:
        return group
    low, high, unit = found.groups()
    ends = f"{int(low)}–{int(high)}" if high else f"{int(low)}+"
    return f"{ends}°" if unit == "degrees" else f"{ends} px"


def _curve(result: dict) -> list[tuple[float, float]]:
    return list(zip(result["roc"]["far"], result["roc"]["tar"], strict=True))


def _inside(x: plot.Axis, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out what is beyond the ends of an axis, where it would be drawn on the edge."""
    slack = 1 + 1e-9
    return [point for point in points if x.ticks[0] <= point[0] * slack and point[0] <= x.ticks[-1]]


def _start(limit: float) -> float:
    """The power of ten below the smallest FAR of a claim."""
    return float(10.0 ** math.floor(math.log10(limit) - 1e-9))


def _shade_note(limit: float) -> str:
    return (
        f"Shaded: below FAR {limit:.2g} fewer than {CLAIM} false accepts, nothing is claimed there."
    )
