"""Text files beside a set that holds numbers only: who label 0, 1, 2 ... is, and which photographs
show masked faces.

`NAME.people.txt` holds a name a line. Beside `train.rec` it is called `train.people.txt`, beside a
list `train.txt.people.txt`, so that two sets in a folder do not share it. `train.rec.masked.txt`
holds `key <tab> key of the clean face` a line, or `key <tab> -`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mfr_kit import files
from mfr_kit.data.photographs.layout import fits
from mfr_kit.data.text_lines import read_lines
from mfr_kit.errors import KitError


def people_file(path: Path) -> Path:
    """Name the file of people's names that belongs to a set."""
    if path.suffix.lower() == ".rec":
        return path.with_suffix(".people.txt")
    return path.with_name(f"{path.name}.people.txt")


def masked_file(path: Path) -> Path:
    """Name the file of masked faces that belongs to a `.rec`."""
    return path.with_name(f"{path.name}.masked.txt")


def read_names(path: Path) -> list[str] | None:
    """Read the names that belong to `path`, None where there is no such file.

    Raises:
        KitError: not text, or a name that comes twice.
    """
    file = people_file(path)
    if not file.exists():
        return None
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise KitError(f"cannot read {file}: {error}") from None
    names = text.split("\n")  # nothing else ends a name; an editor may have put CR before it
    names = [name.removesuffix("\r") for name in (names[:-1] if names[-1] == "" else names)]
    seen: set[str] = set()
    for row, name in enumerate(names):
        if name in seen:
            raise KitError(
                f"{file}: line {row + 1}: {name!r} comes twice; every label needs a name of its own"
            )
        seen.add(name)
    return names


def refuse_names(names: Iterable[str], where: object) -> None:
    """Refuse names that do not fit a line of text, before anything is written.

    Raises:
        KitError: a control character or line break in a name, or one that is not UTF-8; `where`
            names the set.
    """
    for name in names:
        if not all(map(fits, name)):
            raise KitError(
                f"{where}: {name!r} has a control character or a byte that is not UTF-8 in its "
                "name, "
                "which a list of names cannot hold; rename it first"
            )


def write_names(path: Path, names: Sequence[str]) -> None:
    """Write the names that belong to `path`.

    Raises:
        KitError: a name that would not read back.
    """
    refuse_names(names, path)
    text = "".join(f"{name}\n" for name in names)
    if text.startswith("\ufeff"):  # a reader takes the first for a byte order mark
        text = f"\ufeff{text}"
    files.write_text(people_file(path), text)


def write_masked(path: Path, rows: Iterable[tuple[int, int | None]]) -> None:
    """Write the (key, key of the clean face) of the masked faces of a `.rec`."""
    lines = (f"{key}\t{'-' if clean is None else clean}\n" for key, clean in rows)
    files.write_text(masked_file(path), "".join(lines))


def read_masked(path: Path) -> dict[int, int | None] | None:
    """Read which keys of a `.rec` show masked faces, None where nothing beside it says so.

    Raises:
        KitError: a line of another shape; names it.
    """
    file = masked_file(path)
    if not file.exists():
        return None
    found: dict[int, int | None] = {}
    for number, line in enumerate(read_lines(file, "the list of masked faces"), 1):
        fields = line.split("\t")
        if len(fields) != 2 or not all(
            (field.isascii() and field.isdigit() and len(field) < 19) or (field == "-" and at)
            for at, field in enumerate(fields)
        ):
            raise KitError(
                f"{file}: line {number}: `key <tab> key of the clean face, or -` expected, found "
                f"{line[:60]!r}"
            )
        found[int(fields[0])] = None if fields[1] == "-" else int(fields[1])
    return found


def mark_masked(
    keys: Sequence[int], labels: np.ndarray, masked: dict[int, int | None], where: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Turn keys of masked faces into (N,) bool and the (N,) int64 rows of their clean faces, -1 for
    none.

    Args:
        keys: (N,) ascending keys of the images.
        labels: (N,) their people.
        masked: from `read_masked`.
        where: names the file in errors.
    Raises:
        KitError: a key that is no image's, or a clean face that is masked itself or somebody
            else's.
    """
    flags, clean, rows = np.zeros(len(keys), bool), np.full(len(keys), -1, np.int64), {}
    wanted = np.array(sorted({*masked, *(key for key in masked.values() if key is not None)}))
    at = np.searchsorted(np.asarray(keys), wanted)
    for key, row in zip(wanted.tolist(), at.tolist(), strict=True):
        if row < len(keys) and keys[row] == key:
            rows[key] = row
    for key, origin in masked.items():
        if key not in rows:
            continue  # the image was left out because it cannot be read
        flags[rows[key]] = True
        if origin is None or origin not in rows:
            continue
        if origin in masked or labels[rows[origin]] != labels[rows[key]]:
            raise KitError(
                f"{where}: key {key} cannot be the twin of key {origin}, which is masked or of "
                "another person; "
                "the file belongs to another .rec, or was edited"
            )
        clean[rows[key]] = rows[origin]
    return flags, clean
