"""Ranges of numbers, as an option declares one: `>0`, `>=1`, `0..1`, `0..<1`, `>0..1`, `>0..<1`."""

import functools
import math
import re
from dataclasses import dataclass

NUMBER = r"(-?\d+(?:\.\d+)?)"
FROM = re.compile(rf"(>=?){NUMBER}")
BETWEEN = re.compile(rf"(>?){NUMBER}\.\.(<?){NUMBER}")


@dataclass(frozen=True)
class Range:
    """An interval of the finite numbers; an open end does not belong to it."""

    low: float
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def holds(self, value: float) -> bool:
        """Whether a number lies in it; nan and the infinities never do."""
        above = value > self.low or (value == self.low and not self.low_open)
        below = value < self.high or (value == self.high and not self.high_open)
        return math.isfinite(value) and above and below

    def __str__(self) -> str:
        """Word it so that it follows "must be"."""
        if self.high == math.inf:
            return f"above {self.low:g}" if self.low_open else f"{self.low:g} or more"
        if self.low_open == self.high_open:
            excluded = ", both excluded" if self.low_open else ""
            return f"between {self.low:g} and {self.high:g}{excluded}"
        low = f"above {self.low:g}" if self.low_open else f"{self.low:g} or more"
        return f"{low} and {'below' if self.high_open else 'at most'} {self.high:g}"


@functools.cache
def parse(text: str) -> Range:
    """Read a range.

    Raises:
        ValueError: written in another form.
    """
    if found := FROM.fullmatch(text):
        return Range(float(found[2]), low_open=found[1] == ">")
    if found := BETWEEN.fullmatch(text):
        return Range(float(found[2]), float(found[4]), bool(found[1]), bool(found[3]))
    raise ValueError(f"'{text}' is no range: write >0, >=1, 0..1, 0..<1, >0..1 or >0..<1")
