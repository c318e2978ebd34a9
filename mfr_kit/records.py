"""Read small side files (JSON, TOML, CSV, parquet) and check what is in them at the door, so that
no reader meets a damaged one.

A shape says what a value must be::

    str, bool, int, float, dict, list, None, object
        a value of that type (float takes whole numbers; both are finite); object is anything
    {"name": shape, "more?": shape}
        a table with these keys; "more" may be missing, further keys may be there
    {...: shape}                                        a table whose every value has the shape
    [shape]                                             a list of values of the shape
    (shape, shape)                                      one of these
    frozenset({"a", "b"})                               one of these texts

Texts hold no NUL and no half of a surrogate pair: both mean damage, and no path and no UTF-8 file
can hold them.
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mfr_kit.errors import KitError
from mfr_kit.text import decode

WORDS: dict[Any, str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
}
WORDS |= {dict: "a table", list: "a list", None: "nothing"}
WHOLE, NUMBER = 1 << 53, 1e300  # what a whole number and a number stay within
SHOWN = 60  # characters of a wrong value that an error shows


def read_text(path: Path, advice: str) -> str:
    """Read a text file in whatever encoding an editor saved it (text.py).

    Args:
        path: of the file.
        advice: what to do about a damaged one, the end of the error.
    Raises:
        KitError: it cannot be read, or is no text.
    """
    try:
        return decode(Path(path).read_bytes())
    except OSError as error:
        raise KitError(f"{path}: cannot be read ({error.strerror}); {advice}") from None
    except ValueError as error:
        raise KitError(f"{path}: {error}; {advice}") from None


def parse_json(text: str | bytes, where: str, advice: str) -> Any:
    """Parse JSON; a key that stands twice in one table is refused, since one of the two would be
    lost.

    Raises:
        KitError: not JSON; names `where`.
    """
    try:
        return json.loads(text, object_pairs_hook=_table)
    except (ValueError, RecursionError) as error:
        raise KitError(f"{where}: is not whole JSON ({error}); {advice}") from None


def read_json(path: Path, shape: Any, advice: str) -> Any:
    """Read a JSON file whose content has a shape.

    Raises:
        KitError: it cannot be read, is no JSON, or has another shape; names file and key.
    """
    return check(parse_json(read_text(path, advice), str(path), advice), shape, str(path), advice)


def parse_toml(text: str, where: str, advice: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        KitError: not TOML; names `where`.
    """
    import tomllib

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise KitError(f"{where}: is not valid TOML ({error}); {advice}") from None


def read_toml(path: Path, shape: Any, advice: str) -> dict[str, Any]:
    """Read a TOML file whose content has a shape.

    Raises:
        KitError: it cannot be read, is no TOML, or has another shape; names file and key.
    """
    return check(parse_toml(read_text(path, advice), str(path), advice), shape, str(path), advice)


def read_csv(path: Path, columns: tuple[str, ...], advice: str) -> Iterator[tuple[int, dict]]:
    """Yield (line number, row by column) of a CSV whose first line names at least these columns.

    Raises:
        KitError: it cannot be read, a column is missing or named twice, or a row has another number
            of fields; names file and line.
    """
    reader = csv.reader(io.StringIO(read_text(path, advice), newline=""))
    try:
        header = next(reader, [])
        missing = [name for name in columns if name not in header]
        twice = sorted({name for name in header if header.count(name) > 1})
        if missing or twice:
            found = (
                f"the column '{missing[0]}' is missing"
                if missing
                else f"{shown(twice[0])} is twice"
            )
            raise KitError(f"{path}: {found} in the first line {shown(','.join(header))}; {advice}")
        for fields in reader:
            if len(fields) != len(header):
                counted = f"{len(fields)} fields where the first line has {len(header)}"
                raise KitError(f"{path}: line {reader.line_num}: {counted}; {advice}")
            yield reader.line_num, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise KitError(f"{path}: line {reader.line_num}: {error}; {advice}") from None


def check(value: Any, shape: Any, where: str, advice: str) -> Any:
    """Return a value that has a shape.

    Raises:
        KitError: it has another; names `where`, the key, what is there and what is expected.
    """
    found = mismatch(value, shape)
    if found:
        raise KitError(f"{where}: {found}; {advice}")
    return value


def mismatch(value: Any, shape: Any, key: str = "") -> str | None:
    """Say where and how a value differs from a shape, None where it does not."""
    if isinstance(shape, tuple):
        return _mismatch_with_all(value, shape, key)
    if isinstance(shape, dict) and isinstance(value, dict):
        return _mismatch_in_table(value, shape, key)
    if isinstance(shape, list) and isinstance(value, list):
        inner = (mismatch(item, shape[0], f"{key}[{at}]") for at, item in enumerate(value))
        return next((found for found in inner if found), None)
    kind = type(shape) if isinstance(shape, dict | list) else shape
    if _is(value, kind):
        return None
    given = shown(value) if not isinstance(value, dict | list) else WORDS[type(value)]
    wanted = WORDS.get(kind) if not isinstance(kind, frozenset) else " or ".join(sorted(kind))
    return f"{f'key {shown(key)}' if key else 'it'} holds {given} where {wanted} is expected"


def _mismatch_with_all(value: Any, shapes: tuple, key: str) -> str | None:
    """What is wrong for the first shape, where none of them fits: a hundred thousand resampled
    rates fit the first, and nobody tries the others on them.
    """
    first = mismatch(value, shapes[0], key)
    if first is None or any(mismatch(value, part, key) is None for part in shapes[1:]):
        return None
    return first


def _mismatch_in_table(value: dict, shape: dict, key: str) -> str | None:
    prefix = f"{key}." if key else ""
    for name, part in shape.items():
        if name is ...:
            inner = (mismatch(item, part, f"{prefix}{own}") for own, item in value.items())
            found = next((text for text in inner if text), None)
        elif name.removesuffix("?") in value:
            plain = name.removesuffix("?")
            found = mismatch(value[plain], part, f"{prefix}{plain}")
        else:
            found = None if name.endswith("?") else f"key {shown(prefix + name)} is missing"
        if found:
            return found
    return None


def _is(value: Any, kind: Any) -> bool:
    if isinstance(kind, frozenset):
        return isinstance(value, str) and value in kind
    holds = {
        object: lambda: True,
        None: lambda: value is None,
        str: lambda: isinstance(value, str) and is_text(value),
        int: lambda: type(value) is int and -WHOLE <= value <= WHOLE,
        float: lambda: type(value) in (int, float) and -NUMBER <= value <= NUMBER,
    }
    return holds[kind]() if kind in holds else isinstance(value, kind)


def shown(value: Any) -> str:
    """Show a wrong value inside a line: quoted, on one line, cut where it is long."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def is_text(value: str) -> bool:
    """Whether a text can be a path and can be written as UTF-8."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice)} stands twice in one table")
    return table
