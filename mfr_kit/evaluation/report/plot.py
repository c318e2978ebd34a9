"""Curves as inline SVG: no script, no font, no file beside it. Models differ by colour AND dash,
for grey prints and all eyes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from statistics import NormalDist

WIDTH, HEIGHT = 560, 360
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 46
SHORT = 28  # letters of a name that a column of the key holds
_PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#000000")
_DASHES = ("none", "7 3", "2 3", "9 3 2 3", "12 4", "4 4")
_STYLE = (
    "text{font-family:sans-serif}.grid{stroke:#ddd}.tick{fill:#555;font-size:11px}.name{fill:#111;font-size:12px}.line{fill:none;stroke-width:2}"
    + "".join(
        f".line.s{at}{{stroke:{colour};stroke-dasharray:{dash}}}.dot.s{at}{{fill:{colour}}}"
        for at, (colour, dash) in enumerate(zip(_PALETTE, _DASHES, strict=True))
    )
)
_DEVIATES = (*(10.0**power for power in range(-9, -1)), 0.05, 0.2, 0.5, 0.9)
COLOURS = 6  # classes .s0 .. .s5 of the page's style sheet (Okabe and Ito's palette)


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        label: what it shows.
        ticks: values with a grid line, ascending; the first and the last are its ends.
        place: maps a value to any monotone scale.
        text: how a tick is written.
    """

    label: str
    ticks: list[float]
    place: Callable[[float], float]
    text: Callable[[float], str]

    def share(self, value: float) -> float:
        """Where a value stands between the ends, clipped to them; in [0, 1]."""
        low, high = self.place(self.ticks[0]), self.place(self.ticks[-1])
        return (self.place(min(max(value, self.ticks[0]), self.ticks[-1])) - low) / (high - low)


def rates(label: str, smallest: float) -> Axis:
    """A logarithmic axis from a power of ten, at most 0.1, up to 1."""
    powers = range(min(math.floor(math.log10(smallest)), -1), 1)
    return Axis(label, [10.0**power for power in powers], math.log10, lambda value: f"{value:g}")


def percents(label: str, least: float = 0.0) -> Axis:
    """A linear axis up to 1, written in percent, from the round share below `least`: curves of
    good models would lie on one another.
    """
    step = 0.2 if least < 0.5 else 0.1 if least < 0.8 else 0.05 if least < 0.9 else 0.02
    first = min(math.floor(least / step + 1e-9), round(1 / step) - 1)
    return Axis(
        label,
        [step * number for number in range(first, round(1 / step) + 1)],
        float,
        lambda value: f"{100 * value:.0f} %",
    )


def deviates(label: str, smallest: float, greatest: float = 0.9) -> Axis:
    """The normal-deviate axis of a DET plot, on which Gaussian scores give straight lines; it holds
    both rates wherever they lie between its first and its last tick.
    """
    below = [at for at, tick in enumerate(_DEVIATES) if tick <= smallest * (1 + 1e-9)]
    above = [at for at, tick in enumerate(_DEVIATES) if tick >= greatest * (1 - 1e-9)]
    first = min(below[-1] if below else 0, len(_DEVIATES) - 2)
    last = max(above[0] if above else len(_DEVIATES) - 1, first + 1)
    ticks = list(_DEVIATES[first : last + 1])
    return Axis(label, ticks, NormalDist().inv_cdf, lambda value: f"{value:g}")


def span(label: str, low: float, high: float) -> Axis:
    """A linear axis with round ticks around two values."""
    width = max(high - low, 1e-9)
    step = 10.0 ** math.floor(math.log10(width / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if width / (factor * step) <= 6)
    first = math.floor(low / step + 1e-9)
    ticks = [step * number for number in range(first, math.ceil(high / step - 1e-9) + 1)]
    return Axis(
        label,
        ticks if len(ticks) > 1 else [ticks[0], ticks[0] + step],
        float,
        lambda value: f"{value:.6g}",
    )


def standalone(
    title: str,
    x: Axis,
    y: Axis,
    series: dict[str, list[tuple[float, float]]],
    marks: dict[str, list[tuple[float, float]]],
) -> str:
    """Draw like `chart`, as a file of its own: with its colours, its title and a key below.

    More series than there are colours are numbered too, at their mark or their end, and in the key.
    """
    numbered, rows = len(series) > COLOURS, len(series)
    if numbered and max(map(len, series)) <= SHORT:  # the key has two columns
        rows = -(-len(series) // 2)
    height = HEIGHT + 22 + 16 * rows
    body = chart(title, x, y, series, marks).partition(">")[2]
    key, numbers = [], []
    for at, (name, points) in enumerate(series.items()):
        column, row = divmod(at, rows)
        left, middle = LEFT + column * (WIDTH - LEFT) // 2, HEIGHT + 12 + 16 * row
        key += [
            f'<polyline class="line s{at % COLOURS}" points="{left},{middle} '
            f'{left + 26},{middle}"/>',
            f'<circle class="dot s{at % COLOURS}" cx="{left + 13}" cy="{middle}" r="4"/>',
            f'<text class="name" x="{left + 34}" '
            f'y="{middle + 4}">{f"{at + 1}  " if numbered else ""}{escape(name)}</text>',
        ]
        for a, b in (marks.get(name) or points[-1:]) if numbered else ():
            numbers.append(
                f'<text class="tick" x="{_x(x, a) + 5:.1f}" y="{_y(y, b) - 4:.1f}">{at + 1}</text>'
            )
    opened = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title, quote=True)}">'
    )
    ground = f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    return (
        "".join(
            [
                opened,
                f"<style>{_STYLE}</style>",
                ground,
                body.removesuffix("</svg>"),
                *numbers,
                *key,
                "</svg>",
            ]
        )
        + "\n"
    )


def chart(
    title: str,
    x: Axis,
    y: Axis,
    series: dict[str, list[tuple[float, float]]],
    marks: dict[str, list[tuple[float, float]]],
    shaded: float | None = None,
) -> str:
    """Draw curves.

    Args:
        title: read out by screen readers.
        x: the lower axis.
        y: the left axis.
        series: (x, y) points by model; drawn as lines.
        marks: (x, y) points by model; drawn as dots with a tooltip.
        shaded: the ground to the left of this value is shaded.
    """
    names = ", ".join(series)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(f"{title} of {names}", quote=True)}">',
        *([] if shaded is None else [_shade(x, shaded)]),
        *(_grid(x, y)),
    ]
    for at, (name, points) in enumerate(series.items()):
        path = " ".join(f"{_x(x, a):.1f},{_y(y, b):.1f}" for a, b in points)
        parts.append(
            f'<polyline class="line s{at % COLOURS}" '
            f'points="{path}"><title>{escape(name)}</title></polyline>'
        )
        for a, b in marks.get(name, []):
            tip = escape(f"{name}: {y.label} {100 * b:.2f} % at {x.label} {a:.3g}")
            parts.append(
                f'<circle class="dot s{at % COLOURS}" cx="{_x(x, a):.1f}" cy="{_y(y, b):.1f}" '
                f'r="4"><title>{tip}</title></circle>'
            )
    return "".join([*parts, "</svg>"])


def bars(
    title: str,
    x: Axis,
    y: Axis,
    bins: tuple[list[float], float],
    counts: dict[str, list[int]],
    lines: list[tuple[float, str]],
    colour: int,
) -> str:
    """Draw histograms as shares of their sums, one outline a class: the first filled, the others
    dashed; with vertical lines at thresholds.

    Args:
        title: read out by screen readers.
        x: the lower axis.
        y: the left axis, in shares.
        bins: their lower ends, ascending, and their width.
        counts: by class, of each bin.
        lines: (score, what it is).
        colour: number of the model.
    """
    starts, width = bins
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">',
        *_grid(x, y),
    ]
    for at, (name, row) in enumerate(counts.items()):
        used = [number for number, count in enumerate(row) if count]
        if not used:
            continue
        # empty bins in between stand at the ground: an outline that leaves them out slants
        corners = [
            (end, row[i] / sum(row))
            for i in range(used[0], used[-1] + 1)
            for end in (starts[i], starts[i] + width)
        ]
        outline = [(corners[0][0], 0.0), *corners, (corners[-1][0], 0.0)]
        path = " ".join(f"{_x(x, a):.1f},{_y(y, b):.1f}" for a, b in outline)
        kind = f"area s{colour % COLOURS}" + (" other" if at else "")
        parts.append(
            f'<polygon class="{kind}" points="{path}"><title>{escape(name)}</title></polygon>'
        )
    for at, (value, what) in enumerate(lines):
        place = f"{_x(x, value):.1f}"
        side = 'dx="4"' if x.share(value) < 0.8 else 'dx="-4" text-anchor="end"'
        parts.append(
            f'<line class="mark" x1="{place}" x2="{place}" y1="{TOP}" '
            f'y2="{HEIGHT - BOTTOM}"><title>{escape(what)}</title></line>'
        )
        parts.append(
            f'<text class="tick" x="{place}" y="{TOP + 11 + 14 * at}" {side}>{escape(what)}</text>'
        )
    return "".join([*parts, "</svg>"])


def _shade(x: Axis, value: float) -> str:
    width = _x(x, value) - LEFT
    return (
        f'<rect class="unclaimed" x="{LEFT}" y="{TOP}" width="{width:.1f}" '
        f'height="{HEIGHT - TOP - BOTTOM}"/>'
    )


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM)


def _grid(x: Axis, y: Axis) -> list[str]:
    foot, parts = HEIGHT - BOTTOM, []
    for tick in x.ticks:
        at = f"{_x(x, tick):.1f}"
        parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{TOP}" y2="{foot}"/>')
        parts.append(
            f'<text class="tick" x="{at}" y="{foot + 16}" '
            f'text-anchor="middle">{escape(x.text(tick))}</text>'
        )
    for tick in y.ticks:
        at = f"{_y(y, tick):.1f}"
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 7}" y="{at}" dy="4" '
            f'text-anchor="end">{escape(y.text(tick))}</text>'
        )
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + foot) / 2
    parts.append(
        f'<text class="name" x="{middle_x}" y="{HEIGHT - 8}" '
        f'text-anchor="middle">{escape(x.label)}</text>'
    )
    parts.append(
        f'<text class="name" transform="translate(13 {middle_y}) rotate(-90)" '
        f'text-anchor="middle">{escape(y.label)}</text>'
    )
    return parts
