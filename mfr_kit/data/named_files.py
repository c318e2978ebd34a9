"""Files that data names: the keys of a face set, the lines of a list. They lie below one folder,
are plain files, and are no larger than an image can be; what else is named is refused unread.
"""

import functools
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from mfr_kit import remote
from mfr_kit.errors import KitError
from mfr_kit.options import option, options_class
from mfr_kit.system_errors import shown

# A name that leads out of its folder on one system or another; RE2's syntax too.
OUTSIDE = r"^[/\\]|^[A-Za-z]:[/\\]|(^|[/\\])\.\.([/\\]|$)|\x00"
MOST_BYTES = 1 << 30
HINT = "; allow it with --allow-outside if the list is your own"
# A pipe that nobody writes to is opened at once.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@options_class
class NamedFileOptions:
    """What every command has that takes a list of images."""

    allow_outside: bool = option(
        False,
        help="Read a list's images wherever it names them: absolute paths, '..', links that "
        "leave the list's folder. For lists that you wrote yourself.",
        affects="machine",
    )


def leads_outside(name: str) -> bool:
    """Whether a name alone, links left aside, leads out of the folder that it is relative to."""
    return re.search(OUTSIDE, name) is not None


def refuse_outside(
    names: Iterable[tuple[int, str]], folder: Path, named_in: Path, hint: str = HINT
) -> None:
    """Refuse a list with a name that leads out of a folder.

    Args:
        names: line and name.
        folder: that they are relative to.
        named_in: the list.
        hint: what to do, behind the complaint.
    Raises:
        KitError: the first such name.
    """
    for line, name in names:
        if leads_outside(name):
            raise KitError(
                f"{named_in}: line {line}: {shown(name[:200])} lies outside of {folder}{hint}"
            )


def read_named(
    folder: Path, name: str, named_in: Path, allow_outside: bool = False, hint: str = HINT
) -> bytes:
    """Read a file that a list or a table names.

    Args:
        folder: that the name is relative to.
        name: path below it.
        named_in: the list or table, for errors.
        allow_outside: follow the name out of the folder.
        hint: see `refuse_outside`; for links.
    Raises:
        KitError: outside of the folder by its name or by a link, no plain file, above `MOST_BYTES`,
            or not readable, here or where the set lies.
    """
    path = folder / name
    try:
        if not (allow_outside or _stays_inside(folder, name)):
            raise ValueError(f"it lies outside of {folder}{hint}")
        with open(path, "rb", buffering=0, opener=_open) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("not a regular file")
            if status.st_size > MOST_BYTES:
                raise ValueError(f"{status.st_size:,} bytes are no image")
            return file.readall()
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and remote.origin(path) is not None:
            return remote.read_object(path, named_in)
        reason = getattr(error, "strerror", None) or error
        raise KitError(
            f"{str(path)[:300]}: named in {named_in} but cannot be read ({reason})"
        ) from None


def _open(path: str, _: int) -> int:
    return os.open(path, _FLAGS | getattr(os, "O_CLOEXEC", 0))


def _stays_inside(folder: Path, name: str) -> bool:
    if leads_outside(name):
        return False
    parent, _, last = name.rpartition("/")
    root = os.path.abspath(folder)  # what is cached holds in every working directory
    root, here = _real(root), _real(os.path.join(root, parent))
    path = os.path.join(here, last)
    if os.path.islink(path):
        path = os.path.realpath(path)
    return path.startswith(root.rstrip(os.sep) + os.sep)


@functools.lru_cache(maxsize=1 << 14)  # of a set's folders, not of its images
def _real(folder: str) -> str:
    return os.path.realpath(folder)
