"""Which columns of a table are its embeddings, without guessing: one column of lists, or the
numbered columns of one name.

Numbered columns are `e0`, `e1`, ... or `emb_1`, `emb_2`, ...: one name, all numbers from 0 or 1 on,
taken in the order of the numbers. Other columns of numbers (a quality, a label) are no part of an
embedding: they are left out and named on the screen. Where more than one reading is possible the
table is refused.
"""

import re
from collections import Counter
from pathlib import Path

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.models.notes import say_once

KEYS = ("key", "name")  # the latter is how the kit's own feature files call it
NUMBERED = re.compile(r"(.*?)([0-9]+)")
WANTED = "give one column of lists, or numbered columns of floats (e0, e1, ...)"


def keys(path: Path, table) -> list[str]:
    """Return the (N,) keys of a pyarrow table's rows.

    Raises:
        KitError: no column of keys, an empty one, or one twice.
    """
    column = next((name for name in KEYS if name in table.column_names), None)
    if column is None:
        found = ", ".join(table.column_names[:5]) or "none"
        raise KitError(
            f"{path}: no column 'key' (found {found}): it names the faces as faces.parquet does"
        )
    values = table[column].to_pylist()
    if None in values:
        raise KitError(f"{path}: row {values.index(None) + 1} has no key (column '{column}')")
    values = [str(value) for value in values]
    twice = [key for key, number in Counter(values).items() if number > 1]
    if twice:
        raise KitError(f"{path}: the key {twice[0]} stands there twice")
    return values


def matrix(path: Path, table) -> np.ndarray:
    """Return the (N, D) float32 embeddings of a pyarrow table.

    Raises:
        KitError: none or more than one reading of the columns, or columns with gaps, empty fields
            or other than floats.
    """
    twice = [name for name, number in Counter(table.column_names).items() if number > 1]
    if twice:
        raise KitError(f"{path}: two columns are called '{twice[0]}'")
    kinds = {field.name: field.type for field in table.schema if field.name not in KEYS}
    lists = [name for name, kind in kinds.items() if _is_list(kind)]
    groups = _groups(kinds)
    if len(lists) + len(groups) != 1:
        shown = [f"'{name}'" for name in lists] + [f"'{_span(names)}'" for names in groups]
        found = ", ".join(shown) or f"none among {', '.join(map(repr, kinds)) or 'no columns'}"
        raise KitError(f"{path}: {len(shown)} columns that may be embeddings ({found}): {WANTED}")
    taken = lists or groups[0]
    _name_others(path, kinds, taken)
    return _from_lists(path, table, lists[0]) if lists else _from_columns(path, table, taken)


def _is_list(kind) -> bool:
    from pyarrow import types

    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _is_number(kind) -> bool:
    from pyarrow import types

    return types.is_floating(kind) or types.is_integer(kind) or types.is_decimal(kind)


def _groups(kinds: dict) -> list[list[str]]:
    """Return the columns that are numbered under one name, two or more with floats among them,
    in the order of the numbers.
    """
    from pyarrow import types

    found: dict[str, list[str]] = {}
    for name in kinds:
        parts = NUMBERED.fullmatch(name)
        if parts:
            found.setdefault(parts[1], []).append(name)
    return [
        sorted(names, key=_number)
        for names in found.values()
        if len(names) > 1 and any(types.is_floating(kinds[name]) for name in names)
    ]


def _number(name: str) -> int:
    found = NUMBERED.fullmatch(name)
    assert found is not None  # only such names are sorted
    return int(found[2])


def _span(names: list[str]) -> str:
    return f"{names[0]} .. {names[-1]}"


def _name_others(path: Path, kinds: dict, taken: list[str]) -> None:
    others = [
        name
        for name, kind in kinds.items()
        if name not in set(taken) and (_is_number(kind) or _is_list(kind))
    ]
    if others:
        used = taken[0] if len(taken) == 1 else _span(taken)
        say_once(f"{path}: embeddings are '{used}'; left out: {', '.join(others)}")


def _from_columns(path: Path, table, names: list[str]) -> np.ndarray:
    from pyarrow import types

    numbers = [_number(name) for name in names]
    first = numbers[0]
    if first > 1 or numbers != list(range(first, first + len(names))):
        raise KitError(
            f"{path}: the columns {_span(names)} are {len(names)}, not every number once from 0 "
            "or 1 on: a dimension is missing or there twice"
        )
    for name in names:
        kind = table[name].type
        if not types.is_floating(kind):
            raise KitError(f"{path}: column '{name}' holds {kind}, not floats")
        if table[name].null_count:
            raise KitError(f"{path}: column '{name}' has empty fields")
    return np.column_stack([table[name].to_numpy() for name in names]).astype(np.float32)


def _from_lists(path: Path, table, name: str) -> np.ndarray:
    from pyarrow import types

    if table[name].null_count:
        raise KitError(f"{path}: column '{name}' has empty fields")
    column = table[name].combine_chunks()
    values = column.flatten()
    lengths = set(column.value_lengths().to_pylist())
    if len(lengths) != 1 or lengths == {0}:
        raise KitError(f"{path}: the lists of column '{name}' are not all of one length")
    if not types.is_floating(values.type):
        raise KitError(f"{path}: column '{name}' holds {values.type}, not floats")
    if values.null_count:
        raise KitError(f"{path}: column '{name}' has empty fields")
    return values.to_numpy(zero_copy_only=False).reshape(len(column), -1).astype(np.float32)
