"""Read parquet and check its columns at the door: types, empty fields, lengths of lists, numbers
that are finite.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mfr_kit.errors import KitError

if TYPE_CHECKING:
    import pyarrow as pa

MOST_GROWTH = (
    2000  # bytes in memory for a byte of the file; what a damaged length field claims is more
)
LEAST_BYTES = 64 << 20  # in memory, which any file may ask for


def read_parquet(path: Path, advice: str) -> "pa.Table":
    """Read a table whole.

    Args:
        path: of the file.
        advice: what to do about a damaged one, the end of the error.
    Raises:
        KitError: it cannot be read, claims more than it can hold, or its content is not what its
            types say.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.is_file():
        raise KitError(f"{path}: there is no such file; {advice}")
    try:
        with pq.ParquetFile(path) as file:
            refuse_impossible(file.metadata, path, advice)
            table = file.read(use_threads=False)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise KitError(f"{path}: cannot be read as parquet ({reason}); {advice}") from None
    return table


def read_npy(path: Path, advice: str) -> np.ndarray:
    """Map an array of a `.npy` file into memory; a header that claims more than the file holds asks
    for none.

    Raises:
        KitError: it cannot be read, or holds anything but one array of numbers.
    """
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # noqa: BLE001  numpy evaluates the header as Python and raises many kinds for a damaged one
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise KitError(f"{path}: cannot be read as .npy ({reason[:200]}); {advice}") from None
    if not isinstance(rows, np.ndarray):
        raise KitError(f"{path}: is an archive, not one array in .npy; {advice}")
    return rows


def refuse_impossible(metadata, path: Path, advice: str) -> None:
    """Refuse a damaged length before memory is asked for by it."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    claimed, size = sum(group.total_byte_size for group in groups), path.stat().st_size
    rows = [metadata.num_rows, *(group.num_rows for group in groups)]
    if claimed > max(LEAST_BYTES, MOST_GROWTH * size):
        found = f"{size} bytes claim to hold {claimed}"
    elif min(rows) < 0 or max(rows) > size:  # a row has a key of its own, a byte at least
        found = f"{size} bytes claim to hold {max(rows)} rows"
    else:
        return
    raise KitError(f"{path}: {found}: the file is damaged; {advice}")


def as_text(table: "pa.Table", name: str, where: str, advice: str) -> "pa.ChunkedArray":
    """Return a column of texts as `string`.

    Raises:
        KitError: missing, of another type, an empty field (null), or a text that holds a NUL; names
            the row, counted from 0.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    column = filled(table, name, where, advice)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise KitError(f"{where}: column '{name}' holds {kind} where text is expected; {advice}")
    column = column.cast(pa.string())
    broken = pc.match_substring(column, "\0")
    refuse_where(broken, "holds a NUL", name, where, advice)
    return column


def as_numbers(table: "pa.Table", name: str, kind: "pa.DataType", where: str, advice: str):
    """Return a column of finite numbers as `kind`.

    Raises:
        KitError: missing, of another type, an empty field, not finite, or out of the range of
            `kind`; names the row, counted from 0.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    column = filled(table, name, where, advice)
    if not is_number(column.type) or (
        pa.types.is_integer(kind) and not pa.types.is_integer(column.type)
    ):
        raise KitError(f"{where}: column '{name}' holds {column.type}, not {kind}; {advice}")
    if pa.types.is_floating(column.type):
        refuse_where(pc.invert(pc.is_finite(column)), "is not finite", name, where, advice)
    try:
        return column.cast(kind)
    except pa.ArrowInvalid as error:
        raise KitError(f"{where}: column '{name}': {error}; {advice}") from None


def as_lists(table: "pa.Table", name: str, width: int | None, where: str, advice: str):
    """Return a column of lists of finite numbers as lists of float32, each of `width` numbers
    (None: any).

    Raises:
        KitError: missing, of another type, an empty field, another length, or not finite; names the
            row, counted from 0.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    column = filled(table, name, where, advice)
    if not is_list(column.type) or not is_number(column.type.value_type):
        found = f"column '{name}' holds {column.type}"
        raise KitError(f"{where}: {found} where lists of numbers are expected; {advice}")
    lengths = pc.list_value_length(column)
    if width is not None:
        refuse_where(pc.not_equal(lengths, width), f"has not {width} numbers", name, where, advice)
    values = pc.list_flatten(column)
    bad = values.is_null()
    if pa.types.is_floating(values.type):
        bad = pc.or_(bad, pc.invert(pc.fill_null(pc.is_finite(values), False)))
    if pc.any(bad).as_py():
        ends = np.cumsum(lengths.to_numpy())
        row = int(np.searchsorted(ends, pc.index(bad, True).as_py(), side="right"))
        raise KitError(
            f"{where}: column '{name}', row {row} (from 0): a number is missing or not finite; "
            f"{advice}"
        )
    return column.cast(pa.list_(pa.float32()))


def filled(table: "pa.Table", name: str, where: str, advice: str) -> "pa.ChunkedArray":
    """Return a column that is there once and has no empty field.

    Raises:
        KitError: missing, there twice, or an empty field; names the row, counted from 0.
    """
    count = table.column_names.count(name)
    if count != 1:
        found = "is missing" if count == 0 else "is there twice"
        raise KitError(f"{where}: column '{name}' {found}; {advice}")
    column = table[name]
    if column.null_count:
        refuse_where(column.is_null(), "is empty", name, where, advice)
    return column


def refuse_where(bad: "pa.ChunkedArray", how: str, name: str, where: str, advice: str) -> None:
    """Refuse a column that is bad somewhere; names the first row, counted from 0.

    Raises:
        KitError: a value of `bad` is true.
    """
    import pyarrow.compute as pc

    row = pc.index(bad, True).as_py()
    if row >= 0:
        raise KitError(f"{where}: column '{name}', row {row} (from 0): {how}; {advice}")


def is_list(kind: "pa.DataType") -> bool:
    """Whether a column of this type holds lists."""
    import pyarrow as pa

    checks = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(holds(kind) for holds in checks)


def is_number(kind: "pa.DataType") -> bool:
    """Whether a column of this type holds whole or floating numbers."""
    import pyarrow as pa

    return pa.types.is_floating(kind) or pa.types.is_integer(kind)
