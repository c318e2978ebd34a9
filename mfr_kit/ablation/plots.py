"""The plots of a table's page: training curves, what bare faces pay for masked ones, and the mask
ratio.
"""

import json
from collections import defaultdict
from typing import NamedTuple

import numpy as np

from mfr_kit.ablation.figures import BARE, MASKED, mean_tar
from mfr_kit.ablation.keys import telling_options
from mfr_kit.evaluation.report import plot

Points = list[tuple[float, float]]


class Plot(NamedTuple):
    """A plot of a page: the text where it is not shown, its file's name, and the SVG."""

    title: str
    file: str
    svg: str


def plots_of(by_setting: dict[str, list[dict]]) -> list[Plot]:
    """Draw each plot that the records of a table can give.

    Args:
        by_setting: the records of each setting, the teacher's first.
    """
    made = [_training_curves(by_setting)]
    for number, (name, shape) in enumerate(next(iter(by_setting.values()))[0]["sets"].items()):
        if {BARE, MASKED} <= set(shape["protocols"]):
            far = shape["protocols"][BARE][0]["far"]
            made += [
                _trade_off(by_setting, name, number, far),
                _mask_ratios(by_setting, name, number, far),
            ]
    return [entry for entry in made if entry is not None]


def _training_curves(by_setting: dict[str, list[dict]]) -> Plot | None:
    """The loss by step of the settings whose every seed has a curve."""
    curves = {
        name: _mean_curve(records)
        for name, records in by_setting.items()
        if all(record.get("curve") for record in records)
    }
    if not curves:
        return None
    steps = [step for points in curves.values() for step, _ in points]
    losses = [loss for points in curves.values() for _, loss in points]
    axes = plot.span("step", 0, max(steps)), plot.span("loss", min(losses), max(losses))
    svg = plot.standalone("Training curves", *axes, curves, {})
    return Plot("Training curves, mean over the seeds", "curves.svg", svg)


def _trade_off(
    by_setting: dict[str, list[dict]], set_name: str, number: int, far: float
) -> Plot | None:
    """Masked over bare TAR, a point a setting."""
    points: dict[str, Points] = {}
    for name, records in by_setting.items():
        bare, masked = (mean_tar(records, set_name, protocol) for protocol in (BARE, MASKED))
        if bare is not None and masked is not None:
            points[name] = [(bare, masked)]
    if not points:
        return None
    across, up = (
        plot.span(
            f"{what} against bare, TAR at {far:g} in %",
            *_ends([point[at] for (point,) in points.values()]),
        )
        for at, what in enumerate(("bare", "masked"))
    )
    title = f"Trade-off on {set_name}"
    svg = plot.standalone(title, across, up, {name: [] for name in points}, points)
    return Plot(title, f"trade-off-{number}.svg", svg)


def _mask_ratios(
    by_setting: dict[str, list[dict]], set_name: str, number: int, far: float
) -> Plot | None:
    """Masked TAR over the mask ratio, where there are three ratios or more."""
    ratios = _by_ratio(by_setting, set_name)
    if len(ratios) <= 2:
        return None
    axes = (
        plot.span("mask ratio", 0, max(x for x, _ in ratios)),
        plot.span("TAR in %", *_ends([y for _, y in ratios])),
    )
    line = {"masked against bare": ratios}
    svg = plot.standalone(f"Mask ratio on {set_name}", *axes, line, line)
    title = f"TAR at {far:g} against mask ratio on {set_name}"
    return Plot(title, f"mask-ratio-{number}.svg", svg)


def _mean_curve(records: list[dict]) -> list[tuple[float, float]]:
    columns = zip(*(record["curve"] for record in records), strict=False)
    return [(column[0][0], float(np.mean([loss for _, loss in column]))) for column in columns]


def _ends(values: list[float]) -> tuple[float, float]:
    """A little room around percentages."""
    return max(min(values) - 0.5, 0.0), min(max(values) + 0.5, 100.0)


def _by_ratio(by_setting: dict[str, list[dict]], set_name: str) -> Points:
    """Mask ratio and masked TAR of the settings that were trained and differ in nothing else."""
    found: dict[str, dict[float, float]] = defaultdict(dict)
    for records in by_setting.values():
        options = records[0].get("options") if records[0].get("curve") else None
        tar = (
            mean_tar(records, set_name, MASKED)
            if MASKED in records[0]["sets"][set_name]["protocols"]
            else None
        )
        if options and tar is not None:
            compared = telling_options() - {"mask_ratio"}
            rest = {key: value for key, value in options.items() if key in compared}
            found[json.dumps(rest, sort_keys=True)][options["mask_ratio"]] = tar
    most = max(found.values(), key=len, default={})
    return sorted(most.items())
