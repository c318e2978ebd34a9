"""A disk that forgets: what of a folder is sure to be there when the power goes."""

import os
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from mfr_kit import files

Entries = dict[str, int]  # name -> number of the file or folder (inode)


class Power:
    """Knows what below a folder has been synced, by anybody's Python code in this process, and
    keeps at one of the syncs and renames what may be left when the power goes there; use it in a
    `with` block.

    A synced file is there with what it was then; a synced folder has the names that it had then.
    Names and contents since then may be there or not, each for itself; a file that was never synced
    may also be empty, or end anywhere.

    Args:
        folder: all that is in it at the start is sure.
        cut_at: number of the sync or rename, from 1, before which the power goes; behind the last
            one it goes when the block ends.
        rng: decides what of the rest is left.
        after: folder to make: what is left.
    """

    def __init__(self, folder: Path, cut_at: int, rng: random.Random, after: Path) -> None:
        self.points: list[str] = []
        self._root, self._cut_at, self._rng, self._after = folder, cut_at, rng, after
        self._contents: dict[int, bytes] = {}
        self._entries: dict[int, Entries] = {}
        self._links: dict[int, str] = {}
        self._held: dict[int, int] = {}  # open handles: a number that is held is no other file's
        self._patches: list[Any] = []

    def __enter__(self) -> "Power":
        self._sync_all()
        for module, name, sync in (
            (os, "fsync", self._sync_handle),
            (files, "sync_filesystem", self._sync_all),
            (os, "replace", None),
            (os, "rename", None),
        ):
            self._patch(module, name, sync)
        inner = np.memmap.flush

        def flush(rows: np.memmap) -> None:
            inner(rows)
            if rows.filename is not None:
                self._keep(Path(rows.filename))

        self._patches.append(mock.patch.object(np.memmap, "flush", flush))
        for patch in self._patches:
            patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        for patch in self._patches:
            patch.stop()
        self._count("the end")
        for handle in self._held.values():
            os.close(handle)

    def _patch(self, module: Any, name: str, sync: Callable[..., None] | None) -> None:
        inner = getattr(module, name)

        def call(*given: Any, **more: Any) -> Any:
            self._count(f"{name} {len(self.points) + 1}")
            result = inner(*given, **more)
            if sync is not None:
                sync(*given)
            return result

        self._patches.append(mock.patch.object(module, name, call))

    def _count(self, point: str) -> None:
        self.points.append(point)
        if len(self.points) == self._cut_at or (point == "the end" and not self._after.exists()):
            self.about = point
            self._make(self._root.stat().st_ino, self._root, self._after)

    def _sync_all(self, _: Path | None = None) -> None:
        for path in [self._root, *self._root.rglob("*")]:
            self._keep(path)

    def _sync_handle(self, handle: int) -> None:
        self._keep(Path(os.readlink(f"/proc/self/fd/{handle}")))

    def _keep(self, path: Path) -> None:
        """Take note of a file or folder as it is now."""
        number = self._hold(path)
        if path.is_symlink():
            self._links[number] = os.readlink(path)
        elif path.is_dir():
            self._entries[number] = {item.name: self._hold(item) for item in path.iterdir()}
        elif path.is_file():
            self._contents[number] = path.read_bytes()

    def _hold(self, path: Path) -> int:
        number = path.lstat().st_ino
        if number not in self._held and not path.is_symlink():
            self._held[number] = os.open(path, os.O_RDONLY)
        return number

    def _make(self, number: int, now: Path | None, target: Path) -> None:
        """Make a folder as it may be after the cut; `now`: where it is before it."""
        target.mkdir()
        names: Entries = {}
        if now is not None:
            names = {item.name: item.lstat().st_ino for item in now.iterdir()}
        sure = self._entries.get(number, {})
        for name in sorted(sure.keys() | names.keys()):
            old, new = sure.get(name), names.get(name)
            left = self._rng.choice([old, new]) if old != new else new
            if left is None:
                continue
            path = now / name if now is not None and left == new else None
            self._make_item(left, path, target / name)

    def _make_item(self, number: int, now: Path | None, target: Path) -> None:
        if number in self._links or (now is not None and now.is_symlink()):
            target.symlink_to(os.readlink(now) if now is not None else self._links[number])
        elif self._is_folder(number, now):
            self._make(number, now, target)
        else:
            target.write_bytes(self._content(number, now))

    def _is_folder(self, number: int, now: Path | None) -> bool:
        if now is not None:
            return now.is_dir()
        return number in self._held and stat.S_ISDIR(os.fstat(self._held[number]).st_mode)

    def _content(self, number: int, now: Path | None) -> bytes:
        sure = self._contents.get(number)
        handle = self._held.get(number)
        if now is not None:
            new = now.read_bytes()
        else:  # it has no name any more
            size = os.fstat(handle).st_size if handle is not None else 0
            new = os.pread(handle, size, 0) if handle is not None else b""
        if new == sure:
            return new
        cut = new[: self._rng.randint(0, len(new))]
        return self._rng.choice([new, cut, sure if sure is not None else b"", bytes(len(new))])
