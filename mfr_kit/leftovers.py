"""Temporary names, and what processes that were killed left under them."""

import contextlib
import hashlib
import os
import re
import shutil
from pathlib import Path

from mfr_kit import processes

PART = ".part"  # ends the name of what is not whole yet
_NAME = re.compile(r"\..*\.(?P<place>[0-9a-f]{6})-(?P<pid>\d{1,9})-[0-9a-f]{8}\.part", re.DOTALL)


def beside(path: Path) -> Path:
    """Return a name beside `path` that nothing has, short enough where that of `path` is; it says
    which process has it.
    """
    stem = os.fsencode(path.name)[:64].decode("utf-8", "ignore")
    owner = f"{_place()}-{os.getpid()}-{os.urandom(4).hex()}"
    return path.with_name(f".{stem}.{owner}{PART}")


def remove_leftovers(folder: Path) -> int:
    """Remove files and folders with temporary names whose process is no more; those of another
    machine or container stay, nobody here knows of its processes.

    Args:
        folder: looked into, not below; it need not exist.
    Returns:
        how many were removed.
    """
    removed = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _NAME.fullmatch(entry.name)
            if not found or found["place"] != _place() or not processes.is_gone(int(found["pid"])):
                continue
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
                removed += 1
    return removed


def _place() -> str:
    """A short name of this machine and numbering of processes."""
    text = f"{processes.HOST}\0{processes.space()}"
    return hashlib.blake2b(os.fsencode(text), digest_size=3).hexdigest()
