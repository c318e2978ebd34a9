"""What a mask's TOML and mix.toml may say: every key with its type and range, declared here and
checked when a file is read.

`docs/extend/add_a_mask.md` shows the same ranges (`table`, compared by a test).
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfr_kit.errors import KitError
from mfr_kit.masks import patterns
from mfr_kit.registry import unknown

STYLES = ("right", "under_nose", "under_chin", "askew")
MODES = ("palette", "colour")
BOX = (-120.0, -40.0, 120.0, 170.0)
"""Left, top, right and bottom of the chart in mm: nothing of a mask lies outside."""
LEAST_HEIGHT = 20.0
"""Millimetres from a mask's upper to its lower edge: what varies per sample takes up to 15 of
them.
"""
_NAME = re.compile(r"[^\s./\\:\x00-\x1f\ud800-\udfff][^/\\:\x00-\x1f\x7f\ud800-\udfff]{0,99}")


@dataclass(frozen=True)
class Number:
    """A finite number in a range."""

    low: float
    high: float
    unit: str = ""

    def describe(self) -> str:
        return f"{self.low:g} to {self.high:g} {self.unit}".rstrip()

    def check(self, value: Any, where: str) -> None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not self.low <= value <= self.high:
            raise KitError(f"{where} must be a number from {self.describe()}, not {shorten(value)}")


@dataclass(frozen=True)
class Flag:
    """true or false."""

    def describe(self) -> str:
        return "true or false"

    def check(self, value: Any, where: str) -> None:
        if not isinstance(value, bool):
            raise KitError(f"{where} must be true or false, not {shorten(value)}")


@dataclass(frozen=True)
class Text:
    """Text that is not empty."""

    def describe(self) -> str:
        return "text"

    def check(self, value: Any, where: str) -> None:
        if not isinstance(value, str) or not value.strip():
            raise KitError(f"{where} must be text, not {shorten(value)}")


@dataclass(frozen=True)
class Name:
    """Text that can be part of a file's name."""

    def describe(self) -> str:
        return r"a name of up to 100 letters, without `/ \ :`, not beginning with a dot"

    def check(self, value: Any, where: str) -> None:
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise KitError(f"{where} must be {self.describe()}, not {shorten(value)}")


@dataclass(frozen=True)
class Choice:
    """One of several words."""

    known: Callable[[], list[str]]

    def describe(self) -> str:
        return f"one of {', '.join(self.known())}"

    def check(self, value: Any, where: str) -> None:
        if value not in self.known():
            file, _, key = where.rpartition(": ")
            name = value if isinstance(value, str) else shorten(value)
            raise KitError(f"{file}: {unknown(key, name[:60], self.known())}")


@dataclass(frozen=True)
class Colour:
    """A colour, or the word that stands for the face's own."""

    def describe(self) -> str:
        return '`"#rrggbb"` or `"skin"`'

    def check(self, value: Any, where: str) -> None:
        fits = isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}|skin", value)
        if not fits:
            raise KitError(f"{where}: colour {shorten(value)} is not of the form '#rrggbb'")


@dataclass(frozen=True)
class Row:
    """A list of fixed length, each place with a name and a range."""

    places: tuple[tuple[str, Number], ...]

    def describe(self) -> str:
        return ", ".join(f"{name} {number.describe()}" for name, number in self.places)

    def check(self, value: Any, where: str) -> None:
        names = ", ".join(name for name, _ in self.places)
        if not isinstance(value, list) or len(value) != len(self.places):
            raise KitError(f"{where} must be a list [{names}], not {shorten(value)}")
        for item, (name, number) in zip(value, self.places, strict=True):
            number.check(item, f"{where} ({name})")


@dataclass(frozen=True)
class Many:
    """A list of at least so many of a kind."""

    item: Any
    least: int
    what: str

    def describe(self) -> str:
        count = f"{self.least} or more " if self.least else ""
        return f"{count}{self.what}: {self.item.describe()}"

    def check(self, value: Any, where: str) -> None:
        if not isinstance(value, list) or len(value) < self.least:
            least = f" of at least {self.least}" if self.least else ""
            raise KitError(f"{where} must be a list{least} ({self.what}), not {shorten(value)}")
        for index, item in enumerate(value):
            self.item.check(item, f"{where}[{index}]")


ACROSS, HALF = Number(BOX[0], BOX[2], "mm"), Number(0, BOX[2], "mm")
HEIGHT = Number(BOX[1], BOX[3], "mm")
POINT = Row((("x", ACROSS), ("y", HEIGHT)))
RIGHT_POINT = Row((("x", HALF), ("y", HEIGHT)))
LINES = Many(Many(POINT, 2, "points"), 0, "lines")
SHAPES = Many(Many(POINT, 3, "points"), 0, "shapes")

MASK = {"title": Text(), "kind": Name(), "licence": Text(), "author": Text()}
FIT = {
    "top": Number(-30, 120, "mm"),
    "bottom": Number(0, BOX[3], "mm"),
    "side": Number(20, BOX[2], "mm"),
    "bulge": Number(0, 60, "mm"),
    "bulge_height": Number(0, 150, "mm"),
    "bulge_spread": Number(5, 100, "mm"),
    "draped": Flag(),
    "styles": Many(Choice(lambda: list(STYLES)), 1, "words"),
}
LOOK = {
    "name": Name(),
    "texture": Text(),
    "mode": Choice(lambda: list(MODES)),
    "box": Row((("left", ACROSS), ("top", HEIGHT), ("right", ACROSS), ("bottom", HEIGHT))),
    "pattern": Choice(patterns.names),
    "pattern_size": Number(2, 200, "mm"),
    "weight": Number(0, 1000),
    "noise": Number(0, 128),
    "flat": Flag(),
}
COLOURS = {part: Many(Colour(), 1, "colours") for part in ("base", "print", "trim")}
RECIPE = {
    "outline": Many(RIGHT_POINT, 3, "points"),
    "smooth": Flag(),
    "loops": LINES,
    "loop_width": Number(0.5, 20, "mm"),
    "holes": SHAPES,
    "pleats": Many(HEIGHT, 0, "heights"),
    "curve": Number(-30, 30, "mm"),
    "wire": Row((("below", Number(0, 60, "mm")), ("half", Number(1, 80, "mm")))),
    "ridge": Number(-2, 2),
    "dome": Row((("height", HEIGHT), ("spread", Number(5, 100, "mm")))),
    "crease": HEIGHT,
    "rows": Number(3, 60, "mm"),
    "creases": LINES,
    "wrinkles": Number(0, 2),
    "weave": Number(0, 1),
    "edge": Number(0, 2),
    "hem": Number(0, 40, "mm"),
    "seams": LINES,
    "valve": Row((("x", ACROSS), ("y", HEIGHT), ("radius", Number(1, 40, "mm")))),
    "window": Many(RIGHT_POINT, 3, "points"),
    "window_alpha": Number(0, 1),
    "alpha": Number(0.3, 1),
}
SHARE = Number(0, 1e6)
RANGES = {
    "top": Number(-40, 40, "mm"),
    "bottom": Number(-40, 40, "mm"),
    "width": Number(0.5, 2),
    "shift": Number(-20, 20, "mm"),
    "tilt_deg": Number(-10, 10, "degrees"),
    "relief": Number(0, 4),
    "softness": Number(0, 5, "pixels"),
    "shadow": Number(0, 1),
    "crumple": Number(0, 1),
    "dirt": Number(0, 1),
    "hue": Number(-0.5, 0.5, "turns"),
    "saturation": Number(0, 4),
    "value": Number(0, 2),
}
"""What `[ranges]` of mix.toml may span; each is [mean, deviation, lowest, highest]."""


def check(table: Any, declared: dict[str, Any], where: str, what: str = "key") -> None:
    """Check a table of a TOML.

    Args:
        table: the table.
        declared: its keys, `FIT` for instance.
        where: the file and the table, for the error.
        what: what a key is called in it.
    Raises:
        KitError: no table, an unknown key, or a value of the wrong type or out of its range.
    """
    if not isinstance(table, dict):
        raise KitError(f"{where} must be a table, not {shorten(table)}")
    for key, value in table.items():
        if key not in declared:
            raise KitError(f"{where}: {unknown(what, key, sorted(declared))}")
        declared[key].check(value, f"{where}: {key}")


def check_height(top: float, bottom: float, where: str) -> None:
    """Refuse edges that are the wrong way round or too near to each other."""
    if not bottom - top >= LEAST_HEIGHT:
        raise KitError(
            f"{where}: bottom ({bottom:g}) must lie {LEAST_HEIGHT:g} mm or more below top ({top:g})"
        )


def check_box(box: list[float], body: list[float], where: str) -> None:
    """Refuse a box that is reversed, thinner than 5 mm, or nowhere on the mask's body; both are
    left, top, right, bottom in mm.
    """
    left, top, right, bottom = box
    if right - left < 5 or bottom - top < 5:
        raise KitError(
            f"{where}: box must be [left, top, right, bottom] with right and bottom 5 mm or more "
            f"beyond left and top, not {box}"
        )
    if left >= body[2] or right <= body[0] or top >= body[3] or bottom <= body[1]:
        raise KitError(
            f"{where}: box {box} lies beside the mask, which [fit] puts at {body} (left, top, "
            "right, bottom)"
        )


def check_range(values: Any, name: str, where: str) -> tuple[float, float, float, float]:
    """Check a line of `[ranges]` in mix.toml; returns mean, deviation, lowest and highest."""
    limits = RANGES[name]
    spread = Number(0, limits.high - limits.low, limits.unit)
    places = (("mean", limits), ("deviation", spread), ("lowest", limits), ("highest", limits))
    Row(places).check(values, where)
    mean, deviation, low, high = (float(value) for value in values)
    if low > high:
        raise KitError(f"{where}: the lowest ({low:g}) lies above the highest ({high:g})")
    return mean, deviation, low, high


def table() -> str:
    """List every key and its range as a table for docs/extend/add_a_mask.md."""
    lines = ["| where | key | range |", "| --- | --- | --- |"]
    tables: dict[str, dict[str, Any]] = {
        "": MASK,
        "`[fit]`": FIT,
        "`[[look]]`": LOOK,
        "`[look.colours]`": COLOURS,
    }
    tables |= {"`[recipe]`": RECIPE, "`[ranges]` of mix.toml": RANGES}
    for where, declared in tables.items():
        lines += [f"| {where} | `{key}` | {field.describe()} |" for key, field in declared.items()]
    lines.append(f"| `[kinds]`, `[styles]` of mix.toml | any | {SHARE.describe()} |")
    return "\n".join(lines)


def shorten(value: Any, length: int = 60) -> str:
    """Show a value of a TOML in an error, on one line and not too long; NaN and infinity as TOML
    writes them.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = repr(str(value) if isinstance(value, Path) else value)
    return text if len(text) <= length else text[: length - 3] + "..."
