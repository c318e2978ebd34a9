"""`STEM.people.txt` beside a format that holds numbers only: the name of label 0, 1, 2 ..., one a line."""

from collections.abc import Sequence
from pathlib import Path

from mfr_kit import files
from mfr_kit.errors import KitError


def read_names(path: Path) -> list[str] | None:
    """Read the names that belong to `path`, None where there is no such file.

    Raises:
        KitError: not UTF-8 text, or a name that comes twice.
    """
    file = path.with_suffix(".people.txt")
    if not file.exists():
        return None
    try:
        names = file.read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as error:
        raise KitError(f"cannot read {file}: {error}") from None
    if len(set(names)) != len(names):
        twice = next(name for row, name in enumerate(names) if name in names[:row])
        raise KitError(f"{file}: {twice!r} comes twice; every label needs a name of its own")
    return names


def write_names(path: Path, names: Sequence[str]) -> None:
    """Write the names that belong to `path`."""
    files.write_text(path.with_suffix(".people.txt"), "".join(f"{name}\n" for name in names))
