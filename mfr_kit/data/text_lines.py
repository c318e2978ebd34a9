"""Read text files of others line by line, and find files beside a set, whoever wrote them on
whatever system.
"""

import os
from pathlib import Path

from mfr_kit.errors import KitError
from mfr_kit.text import read_text, split_lines


def read_lines(path: Path, what: str) -> list[str]:
    """Read a text file's lines, without their ends (CR, LF or both) and with everything else that
    is in them.

    Args:
        path: the file, UTF-8 or UTF-16.
        what: it is, as in "the image list".
    Raises:
        KitError: it cannot be read or is no text; names the line.
    """
    lines = split_lines(read_text(Path(path), what))
    return lines[:-1] if lines[-1] == "" else lines


def first_line(path: Path) -> str:
    """Take a file's first line that is not blank, "" where it is no text: to tell formats apart."""
    try:
        return next((line for line in read_lines(path, "") if line.strip()), "")
    except KitError:
        return ""


def beside(path: Path, name: str) -> Path | None:
    """Find a file that lies beside `path`, under its name or that name in other letter case
    (TRAIN.IDX).
    """
    exact = path.with_name(name)
    if exact.exists():
        return exact
    try:
        names = sorted(os.listdir(path.parent))
    except OSError:
        return None
    return next((path.with_name(item) for item in names if item.lower() == name.lower()), None)
