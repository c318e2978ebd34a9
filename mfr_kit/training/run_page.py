"""RUN/progress.html: the curves of a run in one file that needs no server, script or other file."""

import math
import re
from collections.abc import Iterable
from datetime import datetime
from html import escape
from pathlib import Path

from mfr_kit.evaluation.report import plot
from mfr_kit.files import write_text
from mfr_kit.progress import duration
from mfr_kit.web_page import policy

PAGE = "progress.html"
POINTS = 600  # of a curve at most: wider than any screen's plot
_SCORES = ("masked", "clean", "score")
Points = list[tuple[float, float]]

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{policy}
<meta http-equiv="refresh" content="60">
<title>{title}</title>
<style>{style}</style></head><body>"""
_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem }
body { margin: 2rem auto; padding: 0 1rem }
section { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)) }
section { gap: 1rem }
svg { width: 100%; height: auto; border-radius: 6px }
progress { width: 100% }
td, th { text-align: left; padding: 0 1rem 0 0; font-variant-numeric: tabular-nums }
"""


def write_page(folder: Path, lines: list[dict], total: int) -> Path:
    """Draw the curves of a run into its page, and return the page.

    Args:
        folder: of the run.
        lines: what metrics.jsonl holds by now.
        total: steps of the run.
    """
    step = max((line["step"] for line in lines), default=0)
    title = f"{folder.name}: step {step:,} of {total:,}"
    now = datetime.now().astimezone().isoformat(" ", "seconds")
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<progress value="{step}" max="{max(total, 1)}"></progress>',
        f"<p>{escape(str(folder))}, as of {now}; the run renews this page at each validation.</p>",
        *_latest(lines),
        "<section>",
        *(svg for svg in (_losses(lines, total), _scores(lines, total)) if svg),
        "</section></body></html>",
    ]
    styles = [_STYLE, *re.findall(r"<style>(.*?)</style>", "".join(body), re.DOTALL)]
    head = _HEAD.format(title=escape(title), policy=policy(*styles), style=_STYLE)
    path = folder / PAGE
    write_text(path, "\n".join([head, *body]) + "\n")
    return path


def _latest(lines: list[dict]) -> Iterable[str]:
    """A table of the last figures, and of the best validation."""
    rows = {}
    logged = [line for line in lines if "loss" in line]
    if logged:
        last = logged[-1]
        rows["loss"] = _number(last["loss"])
        rows["learning rate"] = _number(last.get("learning_rate"))
        rows["faces/s"] = _number(last.get("images_per_s"))
        if isinstance(last.get("left_s"), int | float):
            rows["time left then"] = duration(last["left_s"])
    measured = [line for line in lines if _score(line) is not None]
    if measured:
        best = max(measured, key=lambda line: _score(line) or -math.inf)
        rows["best score"] = f"{_number(_score(best))} at step {best['step']:,}"
    yield "<table>"
    for name, value in rows.items():
        yield f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
    yield "</table>"


def _number(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, int | float) else "-"


def _score(line: dict) -> float | None:
    found = line.get("validation", {}).get("score")
    return float(found) if isinstance(found, int | float) else None


def _losses(lines: list[dict], total: int) -> str:
    curves: dict[str, Points] = {}
    for line in lines:
        terms = line.get("terms")
        named = {"loss": line.get("loss"), **(terms if isinstance(terms, dict) else {})}
        _add(curves, line["step"], named)
    if len(curves) == 2:  # one term is the loss itself
        curves = {"loss": curves["loss"]} if "loss" in curves else curves
    return _draw("Loss", "loss", curves, total)


def _scores(lines: list[dict], total: int) -> str:
    curves: dict[str, Points] = {}
    for line in lines:
        measured = line.get("validation", {})
        _add(curves, line["step"], {name: measured.get(name) for name in _SCORES})
    return _draw("Validation", "TAR, and the score of both", curves, total, marked=True)


def _add(curves: dict[str, Points], step: int, values: dict[str, object]) -> None:
    for name, value in values.items():
        if isinstance(value, int | float) and math.isfinite(value):
            curves.setdefault(str(name), []).append((float(step), float(value)))


def _draw(title: str, label: str, curves: dict[str, Points], total: int, marked=False) -> str:
    if not curves:
        return ""
    curves = {name: _thinned(points) for name, points in curves.items()}
    heights = [value for points in curves.values() for _, value in points]
    last = max(total, *(step for points in curves.values() for step, _ in points))
    axes = plot.span("step", 0, last), plot.span(label, min(heights), max(heights))
    lines = {name: _visible(points, last) for name, points in curves.items()}
    return plot.standalone(title, *axes, lines, curves if marked else {})


def _visible(points: Points, last: float) -> Points:
    """Make a short line of a single point, which would not be seen."""
    if len(points) > 1:
        return points
    ((step, value),) = points
    return [(step, value), (step + last / 100, value)]


def _thinned(points: Points) -> Points:
    """Average neighbours where there are more points than a plot can show."""
    size = -(-len(points) // POINTS)
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [(part[-1][0], math.fsum(value for _, value in part) / len(part)) for part in parts]
