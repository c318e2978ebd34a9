"""The calls by which a process makes, names and syncs files: counted, and refused at one."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from mfr_kit import files

NAMING = {"os.rename", "os.mkdir", "os.link", "os.symlink", "os.truncate"}
SYNCS = ((os, "fsync"), (files, "sync_filesystem"), (os, "posix_fallocate"))


class Refusals:
    """Counts the calls that change what lies below a folder, by anybody's Python code in this
    process; use it in a `with` block. `kinds` says what each was.
    """

    def __init__(self, folder: Path) -> None:
        self.kinds: list[str] = []
        self._below = os.path.realpath(folder) + os.sep
        self._fails_at, self._number, self._lasts = 0, 0, False
        self._patches: list[Any] = []

    @property
    def about(self) -> str:
        """What fails: the error, and for how long."""
        return f"{errno.errorcode[self._number]}{' from then on' if self._lasts else ''}"

    def arm(self, fails_at: int, number: int, lasts: bool) -> None:
        """Refuse the call with this number, from 1, by an errno; `lasts`: and all after it."""
        self._fails_at, self._number, self._lasts = fails_at, number, lasts

    def __enter__(self) -> "Refusals":
        _hook()
        _listeners.append(self)
        for module, name in SYNCS:
            inner = getattr(module, name)
            patch = mock.patch.object(module, name, self._wrapped(name, inner))
            patch.start()
            self._patches.append(patch)
        return self

    def __exit__(self, *_: object) -> None:
        _listeners.remove(self)
        for patch in self._patches:
            patch.stop()

    def count(self, kind: str, path: str | None = None) -> None:
        """Take note of a call, and refuse it if it is its turn."""
        self.kinds.append(kind)
        reached = len(self.kinds)
        if self._fails_at and (
            reached == self._fails_at or (self._lasts and reached > self._fails_at)
        ):
            raise OSError(self._number, os.strerror(self._number), path)

    def look(self, event: str, given: tuple[Any, ...]) -> None:
        """Take note of what Python is about to do, if it changes anything below the folder."""
        if event == "open":
            flags = given[2]
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event not in NAMING:
            return
        try:
            path = os.path.abspath(os.fsdecode(given[0]))
        except TypeError:  # a descriptor
            return
        real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if real.startswith(self._below) and not (event == "os.mkdir" and os.path.isdir(path)):
            self.count(event, path)

    def _wrapped(self, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            self.count(name)
            return inner(*given)

        return call


_listeners: list[Refusals] = []
_hooked: list[bool] = []


def _hook() -> None:
    """Listen to Python's audit events; a hook can never be taken away again."""
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(lambda event, given: [one.look(event, given) for one in _listeners])
