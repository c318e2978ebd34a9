"""Claims of processes on parts of a folder: who works on what, on any file system and machine.

A claim is a file that only one process can make. Its holder touches it every few seconds; a claim
that stands untouched, or whose process is gone from this machine, is taken over. Locks of the
system would go with their process, but network disks and Windows have none that can be relied on.
"""

import contextlib
import hashlib
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mfr_kit import processes
from mfr_kit.errors import KitError
from mfr_kit.files import attributed_to
from mfr_kit.leftovers import remove_leftovers
from mfr_kit.system_errors import shown

CLAIMS = "claims"  # usual name of the folder, inside what is shared
BEAT_S = 5.0  # between two touches
STALE_S = 60.0  # without a touch, as seen by whoever waits: clocks need not agree
POLL_S = 0.1
PATIENCE_S = 10.0  # before a line says who is waited for


class Claims:
    """What this process claims in a folder; use it in a `with` block, which gives all back. What
    killed processes left in the folder, and beside it under temporary names, is cleared away.

    Args:
        folder: where the claims lie; it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: dict[str, bytes] = {}  # name -> what its file says
        self._seen: dict[str, tuple[bytes, float, float]] = {}
        self._ended = threading.Event()
        self._beat: threading.Thread | None = None

    def __enter__(self) -> "Claims":
        with attributed_to(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.folder.parent)
        self._clear_gone()
        self._beat = threading.Thread(target=self._touch, daemon=True)
        self._beat.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for name in list(self._held):
            self.release(name)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def take(self, name: str) -> bool:
        """Claim a part; False where another process has it.

        Raises:
            OSError: the folder cannot be written to.
        """
        path = self.folder / name
        about = {
            "host": processes.HOST,
            "space": processes.space(),
            "pid": os.getpid(),
            "claim": uuid.uuid4().hex,
        }
        content = json.dumps(about).encode()
        for _ in range(2):
            try:
                self._make(path, content)
            except FileExistsError:
                if not self._clear_stale(path):
                    return False
            except FileNotFoundError:  # whoever was last has taken the empty folder away
                self.folder.mkdir(parents=True, exist_ok=True)
            else:
                self._held[name] = content
                return True
        return False

    @staticmethod
    def _make(path: Path, content: bytes) -> None:
        with attributed_to(path):
            file = path.open("xb")
            try:
                with file:
                    file.write(content)
            except OSError:  # a full disk: half a claim would stand in everybody's way
                path.unlink(missing_ok=True)
                raise

    def release(self, name: str) -> None:
        """Give a part back."""
        own = self.is_held(name)
        self._held.pop(name, None)
        if own:
            with contextlib.suppress(OSError):
                (self.folder / name).unlink(missing_ok=True)

    def is_held(self, name: str) -> bool:
        """Whether a part is still this process's: one that stood still for long, as a suspended
        machine does, may have lost it to another.
        """
        try:
            return self._held.get(name) == (self.folder / name).read_bytes()
        except OSError:
            return False

    @contextlib.contextmanager
    def hold(self, name: str, task: str, busy: str = "") -> Iterator[None]:
        """Claim a part, waiting for it.

        Args:
            name: the part.
            task: says what its holder does.
            busy: the error where its holder is at work; without one, that is waited for too.
        Raises:
            KitError: `busy`.
        """
        note = WaitNote(task)
        first = None
        while not self.take(name):
            seen = self._seen.get(name, ())[:2]
            first = first or seen
            if busy and seen != first:  # touched, or another's
                raise KitError(f"{busy} ({self.holder(name)})")
            note.tell(self.holder(name))
            time.sleep(POLL_S)
        try:
            yield
        finally:
            self.release(name)

    def holder(self, name: str) -> str:
        """Say who holds a part."""
        with contextlib.suppress(OSError):
            if about := _read((self.folder / name).read_bytes()):
                return f"process {about['pid']} on {shown(about['host'])}"
        return "another process"

    def _touch(self) -> None:
        while not self._ended.wait(BEAT_S):
            for name in list(self._held):
                if self.is_held(name):
                    with contextlib.suppress(OSError):
                        os.utime(self.folder / name)

    def _clear_gone(self) -> None:
        """Take away what processes of this machine that are no more have claimed."""
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                if _is_gone(path.read_bytes()):
                    self._clear_stale(path)

    def _clear_stale(self, path: Path) -> bool:
        """Take away a claim whose process is gone; whether the part may be free."""
        try:
            content, touched = path.read_bytes(), path.stat().st_mtime
        except OSError:
            return True  # given back this moment
        before, now = self._seen.get(path.name), time.monotonic()
        if before is None or before[:2] != (content, touched):
            before = self._seen[path.name] = (content, touched, now)
        if now - before[2] < STALE_S and not _is_gone(content):
            return False
        aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        try:
            path.rename(aside)
        except OSError:
            return True  # another process was quicker
        if aside.read_bytes() != content:  # a new claim, made since it was looked at
            with contextlib.suppress(OSError):
                os.link(aside, path)
            aside.unlink(missing_ok=True)
            return False
        aside.unlink(missing_ok=True)
        return True


@contextlib.contextmanager
def sole(
    folder: Path, name: str, task: str, busy: str = "", overtaken: str = ""
) -> Iterator[Callable[[], None]]:
    """Keep every other process away from a part, on any machine that shares the disk.

    Args:
        folder: where the claims lie; it is made, and goes when it is empty.
        name: the part.
        task: says what its holder does, as in "process 3 on x, which ...".
        busy: the error where another is at work; without one, that is waited for.
        overtaken: the error where another has taken over from this process, which stood still.
    Yields:
        what raises `overtaken` where the part is not this process's any more: call it before a
        result takes its name.
    Raises:
        KitError: `busy`.
    """
    with Claims(folder) as claims:

        def expect_held() -> None:
            if not claims.is_held(name):
                raise KitError(
                    overtaken
                    or f"{folder.parent}: this process stood still for so long that another "
                    "has taken its work over: see there"
                )

        with claims.hold(name, task, busy):
            yield expect_held


def clear(folder: Path) -> None:
    """Clear away the claims in a folder that killed processes of this machine have left, and the
    folder with the last one.
    """
    if folder.is_dir():
        with contextlib.suppress(OSError), Claims(folder):
            pass


def claims_beside(path: Path) -> Path:
    """Name the folder of claims on what has no folder of its own yet; short, whatever the name."""
    name = hashlib.blake2b(os.fsencode(path.name), digest_size=5).hexdigest()
    return path.with_name(f".{name}.{CLAIMS}")


class WaitNote:
    """Says once who is waited for, when it takes long.

    Args:
        task: what is waited for, as in "that prepares ...".
    """

    def __init__(self, task: str) -> None:
        self._task = task
        self.reset()

    def reset(self) -> None:
        """Begin to wait anew."""
        self._since, self._silent = time.monotonic(), True

    def tell(self, holder: str) -> None:
        """Say it, if it has taken long."""
        if self._silent and time.monotonic() - self._since > PATIENCE_S:
            self._silent = False
            print(f"note: waiting for {holder}, which {self._task}", file=sys.stderr)


def _is_gone(content: bytes) -> bool:
    """Whether a claim was made on this machine by a process that is no more."""
    about = _read(content)
    if about is None:
        return False  # its age decides
    host = (about["host"], about.get("space"))
    return host == (processes.HOST, processes.space()) and processes.is_gone(about["pid"])


def _read(content: bytes) -> dict[str, Any] | None:
    """Return what a claim says; None where it is being written, or is none of ours."""
    with contextlib.suppress(ValueError, RecursionError):
        about = json.loads(content)
        if (
            isinstance(about, dict)
            and isinstance(about.get("host"), str)
            and isinstance(about.get("pid"), int)
        ):
            return about
    return None
