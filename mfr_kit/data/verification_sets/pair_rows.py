"""The lines of verification pairs in text files of others: LFW's, `image image label` in any
order and with any separator, and CPLFW's.
"""

import re
from pathlib import Path
from typing import NamedTuple

from mfr_kit.data.images import SUFFIXES
from mfr_kit.data.text_lines import first_line, read_lines
from mfr_kit.errors import KitError

LABELS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
_SEPARATORS = ("\t", ",", ";", None)  # None: any number of spaces
MOST_NUMBER = 9  # digits of an image's number or a count


class Row(NamedTuple):
    """A pair: the line that names it, its images, and whether they show one person."""

    line: int
    left: str
    right: str
    same: bool


def is_labelled(path: Path) -> bool:
    """Whether the first line is two images and 0 or 1, before or behind them."""
    fields = split_labelled([first_line(path)])[0]
    if len(fields) != 3:
        return False
    last, first = _label(fields[2]) is not None, _label(fields[0]) is not None
    return (last and not is_number(fields[1])) or (first and not is_number(fields[1]) and not last)


def read_labelled(path: Path) -> list[Row]:
    """Read lines of two images and a label 0 or 1; all lines have it in the same place.

    Raises:
        KitError: it cannot be read, or a line is of another shape; names the line.
    """
    lines = [item for item in enumerate(read_lines(path, "the pairs"), 1) if item[1].strip()]
    split = split_labelled([line for _, line in lines])
    threes = [fields for fields in split if len(fields) == 3]
    first = bool(threes) and _label(threes[0][2]) is None
    rows = []
    for (number, line), fields in zip(lines, split, strict=True):
        label = _label(fields[0 if first else 2]) if len(fields) == 3 else None
        if label is None:
            wanted = "label image image" if first else "image image label"
            raise KitError(
                f"{path}: line {number}: `{wanted}` expected, the label 0 or 1; found {line[:60]!r}"
            )
        left, right = fields[1:] if first else fields[:2]
        rows.append(Row(number, left, right, label))
    return rows


def is_two_lined(path: Path) -> bool:
    """Whether the first line is an image and a whole number, as in CPLFW's and CALFW's lists."""
    line = first_line(path)
    return _name_and_number(line) is not None and not is_labelled(path)


def _name_and_number(line: str) -> tuple[str, int] | None:
    found = re.fullmatch(r"(.*[^\s,;])[\s,;]+([0-9]{1,9})", line.strip())
    if found is None or is_number(found[1]):
        return None
    spaced = re.search(r"\s", found[1]) and Path(found[1]).suffix.lower() not in SUFFIXES
    return None if spaced else (found[1], int(found[2]))


def read_two_lined(path: Path) -> list[Row]:
    """Read pairs of lines `image number`: 0 for two people, anything else (1, or CALFW's number of
    the fold) for one.

    Raises:
        KitError: it cannot be read, a line is of another shape or contradicts the one before; names
            the line.
    """
    found = []
    for number, line in enumerate(read_lines(path, "the pairs"), 1):
        if not line.strip():
            continue
        pair = _name_and_number(line)
        if pair is None:
            raise KitError(
                f"{path}: line {number}: `image label` expected, two lines a pair; found "
                f"{line[:60]!r}"
            )
        found.append((number, *pair))
    if len(found) % 2:
        raise KitError(
            f"{path}: {len(found)} lines, but two are a pair: the file was cut or edited"
        )
    rows = []
    for (_, left, label), (number, right, again) in zip(found[::2], found[1::2], strict=True):
        if label != again:
            raise KitError(
                f"{path}: line {number}: label {again}, but {label} in the pair's first line"
            )
        rows.append(Row(number - 1, left, right, label != 0))
    return rows


class LfwRow(NamedTuple):
    """A pair of LFW's list: people and the numbers of their photographs."""

    line: int
    left: tuple[str, int]
    right: tuple[str, int]
    same: bool


def is_lfw(path: Path) -> bool:
    """Whether the first line is one or two whole numbers."""
    fields = first_line(path).split()
    return len(fields) in (1, 2) and all(map(is_number, fields))


def read_lfw(path: Path) -> tuple[int, list[LfwRow]]:
    """Read LFW's `pairs.txt`: `folds <tab> n` (or `n`), then lines `name i j` and `name i name j`.

    Returns:
        the number of folds, and the pairs.
    Raises:
        KitError: another first line, a line of another shape (named), or another number of lines
            than the first line announces.
    """
    lines = read_lines(path, "the list of pairs")
    start = next((at for at, line in enumerate(lines) if line.strip()), len(lines))
    numbers = lines[start].split() if start < len(lines) else []
    if len(numbers) not in (1, 2) or not all(map(is_number, numbers)):
        raise KitError(
            f"{path}: the first line must be `folds pairs`, as in LFW's pairs.txt: 10 300"
        )
    folds, count = (1, int(numbers[0])) if len(numbers) == 1 else map(int, numbers)
    rows = [
        _lfw_row(path, number, line)
        for number, line in enumerate(lines[start + 1 :], start + 2)
        if line.strip()
    ]
    if len(rows) != 2 * folds * count:
        raise KitError(
            f"{path}: the first line announces {2 * folds * count} pairs, but {len(rows)} "
            "follow; the file was cut or edited"
        )
    return folds, rows


def _lfw_row(path: Path, number: int, line: str) -> LfwRow:
    fields = [field.strip() for field in (line.split("\t") if "\t" in line else line.split())]
    match fields:
        case [name, one, two] if name and is_number(one) and is_number(two):
            return LfwRow(number, (name, int(one)), (name, int(two)), True)
        case [name, one, other, two] if name and other and is_number(one) and is_number(two):
            return LfwRow(number, (name, int(one)), (other, int(two)), False)
    raise KitError(
        f"{path}: line {number}: `name i j` or `name i name j` expected, found {line[:60]!r}"
    )


def split_labelled(lines: list[str]) -> list[list[str]]:
    """Split lines at tabs, commas, semicolons or spaces: at what gives three fields with a label
    in the most lines.
    """

    def split(sign: str | None) -> list[list[str]]:
        return [[field.strip() for field in line.strip().split(sign)] for line in lines]

    def fitting(rows: list[list[str]]) -> int:
        return sum(len(fields) == 3 and all(fields) and _has_label(fields) for fields in rows)

    return max((split(sign) for sign in _SEPARATORS), key=fitting)


def _has_label(fields: list[str]) -> bool:
    return any(_label(field) is not None for field in (fields[0], fields[-1]))


def is_number(text: str) -> bool:
    """Whether a field is a whole number, written in at most nine ASCII digits."""
    return text.isascii() and text.isdigit() and len(text) <= MOST_NUMBER


def _label(text: str) -> bool | None:
    return LABELS.get(text.lower())
