"""The shapes of a line in a text file that lists photographs, told from all of its lines together.

`path label` (the kit's own .txt, and others'), `label path`, mxnet's `number label ... path`, and
face2rec2's `aligned path label`, where four numbers of a box and ten of points may follow.
"""

import math
from pathlib import Path, PurePosixPath

from mfr_kit.data.images import SUFFIXES
from mfr_kit.errors import KitError

MOST_LABEL = 1 << 53  # float64 holds every whole number up to here
SHAPES = (
    "`path <tab> label`, mxnet's `number <tab> label <tab> path` or face2rec2's `0|1 <tab> path "
    "<tab> label`"
)
_FACE2REC2 = (3, 7, 17)  # fields without a box, with one, with five points too


def split_rows(path: Path, lines: list[str], numeric: bool) -> list[tuple[int, str, str]]:
    """Take (line number, path, label) from every line that is not blank.

    Args:
        path: names the list in errors.
        lines: without their ends.
        numeric: labels are whole numbers; they come back as "0", "1" ... however they are written,
            as they do where the shape is a tool's that knows no others.
    Raises:
        KitError: a line of another shape than the others, or a label that is no person's number;
            names the line.
    """
    rows = [(number, _fields(line)) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise KitError(f"the image list {path} is empty")
    for number, fields in rows:
        if len(fields) < 2 or not all(field.strip() for field in fields):
            raise _other_shape(path, number, fields)
    shape = _shape(path, rows)
    found = []
    for number, fields in rows:
        if len(fields) != len(rows[0][1]) and shape != "face2rec2":
            raise _other_shape(path, number, fields)
        found.append((number, *_take(path, number, fields, shape)))
    tools_own = shape in ("mxnet", "face2rec2") and all(
        _value(label) is not None for _, _, label in found
    )
    if not (numeric or tools_own):
        return found
    return [(number, name, _number(path, number, label)) for number, name, label in found]


def _fields(line: str) -> list[str]:
    if "\t" in line:
        return line.rstrip("\t").split("\t")
    words = line.split()
    numbers = len(words) == 3 and words[0].isdigit() and _value(words[1]) is not None
    if numbers and _is_image(words[2]):
        return words  # mxnet's three columns, with spaces
    return line.strip().rsplit(" ", 1) if len(words) > 1 else words


def _shape(path: Path, rows: list[tuple[int, list[str]]]) -> str:
    first = rows[0][1]
    if len(first) == 2:
        label_first = all(_is_image(fields[-1]) and not _is_image(fields[0]) for _, fields in rows)
        return "label first" if label_first else "path first"
    whole = all(fields[0].strip().isdigit() for _, fields in rows)
    if whole and all(_value(fields[-1]) is None for _, fields in rows):
        return "mxnet"
    flags = {fields[0].strip() for _, fields in rows} <= {"0", "1"}
    fit = all(len(fields) in _FACE2REC2 for _, fields in rows)
    if flags and fit and all(_value(fields[1]) is None for _, fields in rows):
        return "face2rec2"
    number, fields = next(
        ((number, fields) for number, fields in rows if len(fields) != len(first)), rows[0]
    )
    raise _other_shape(path, number, fields)


def _take(path: Path, number: int, fields: list[str], shape: str) -> tuple[str, str]:
    """Return a line's (path, label)."""
    if shape == "path first":
        return fields[0], fields[1].strip()
    if shape == "label first":
        return fields[1], fields[0].strip()
    if shape == "mxnet":  # of several labels the first is the person
        return fields[-1], fields[1].strip()
    if any(_value(field) is None for field in fields[3:]):
        raise KitError(
            f"{path}: line {number}: box and points are numbers, found "
            f"{' '.join(fields[3:])[:60]!r}"
        )
    return fields[1], fields[2].strip()


def _number(path: Path, number: int, label: str) -> str:
    value = _value(label)
    if value is None or not value.is_integer() or not 0 <= value < MOST_LABEL:
        raise KitError(
            f"{path}: line {number}: label {label[:40]!r} is no person's number (0, 1, 2 ...); "
            "leave such lines out, or name people in a .txt list"
        )
    return str(int(value))


def _value(text: str) -> float | None:
    """Read a number, None where it is none; nan and inf are numbers that no label can be."""
    text = text.strip()
    if not text.isascii() or "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else math.nan


def _is_image(name: str) -> bool:
    return PurePosixPath(name.strip()).suffix.lower() in SUFFIXES


def _other_shape(path: Path, number: int, fields: list[str]) -> KitError:
    shown = "\t".join(fields)[:60]
    return KitError(f"{path}: line {number}: {SHAPES} expected, found {shown!r}")
