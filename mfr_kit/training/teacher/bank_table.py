"""The file of a bank: a memory map that is filled block by block, each with a checksum, by one
process at a time.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mfr_kit import files

EMBEDDINGS, ABOUT, LOCK = "embeddings.npy", "bank.json", ".lock"


class Table:
    """`embeddings.npy` in a folder, with `bank.json` beside it: what it depends on, and the
    checksum of every block that is whole.

    Args:
        folder: of the bank.
        described: what it depends on.
        shape: (N, 2, D).
        dtype: on disk.
        block: rows that are recorded together, of a new bank; one that was begun keeps its own.
    """

    def __init__(
        self,
        folder: Path,
        described: dict[str, Any],
        shape: tuple[int, int, int],
        dtype: str,
        block: int,
    ) -> None:
        self.folder, self._described, self._shape, self._dtype = folder, described, shape, dtype
        self._about: dict[str, Any] = {**described, "block": block, "blocks": {}}
        self._told: set[str] = set()

    def spans_missing(self) -> list[tuple[int, int]]:
        """Read what is there, and return the (first row, one past the last) of every block that
        is missing or damaged, in order.
        """
        found = self._read()
        if found is None:
            self._about["blocks"] = {}
        else:
            self._about = found
        block, count = self._about["block"], self._shape[0]
        spans = [(start, min(start + block, count)) for start in range(0, count, block)]
        known = {span for span in spans if str(span[0]) in self._about["blocks"]}
        if not known:
            return spans
        rows = self.open("r")
        damaged = [
            span for span in known if self._about["blocks"][str(span[0])] != _sum(rows, span)
        ]
        for span in damaged:
            del self._about["blocks"][str(span[0])]
        if damaged:
            self._tell(
                f"{len(damaged)} of {len(spans)} blocks of {self.folder} are damaged: made again"
            )
        return [span for span in spans if str(span[0]) not in self._about["blocks"]]

    def open(self, mode: Literal["r", "r+"]) -> np.ndarray:
        """Map the (N, 2, D) embeddings: "r" to read, "r+" to fill, which makes the file where it
        is not there.
        """
        path = self.folder / EMBEDDINGS
        if mode == "r+" and not self._fits(path):
            with files.replacing(path) as part:
                empty = np.lib.format.open_memmap(part, "w+", self._dtype, self._shape)
                empty.flush()
                del empty
                files.reserve(part, part.stat().st_size)
        return np.load(path, mmap_mode=mode)

    def record(self, start: int, stop: int, rows: np.ndarray) -> None:
        """Write down that a block is whole."""
        self._about["blocks"][str(start)] = _sum(rows, (start, stop))
        files.write_json(self.folder / ABOUT, self._about)

    def _fits(self, path: Path) -> bool:
        """Whether the file is an array of this shape and type, all of it there."""
        try:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception:  # noqa: BLE001  numpy's reader of damaged headers raises many kinds
            return False
        return (
            found.shape == self._shape and found.dtype == self._dtype and found.flags.c_contiguous
        )

    def _read(self) -> dict[str, Any] | None:
        """Return what `bank.json` says; None where there is no bank, or what lies there is none
        of this description.
        """
        about = self.folder / ABOUT
        if not about.exists():
            return None
        try:
            found = json.loads(about.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            found = None
        if not self._is_ours(found) or not self._fits(self.folder / EMBEDDINGS):
            self._tell(f"{self.folder} does not hold what its name says: made again")
            return None
        return found

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            _say(line)

    def _is_ours(self, found: Any) -> bool:
        if not isinstance(found, dict) or set(found) != set(self._about):
            return False
        block, blocks = found["block"], found["blocks"]
        whole = isinstance(block, int) and block > 0 and isinstance(blocks, dict)
        return whole and all(found[name] == value for name, value in self._described.items())


def _sum(rows: np.ndarray, span: tuple[int, int]) -> str:
    return hashlib.blake2b(
        np.ascontiguousarray(rows[slice(*span)]).data, digest_size=16
    ).hexdigest()


@contextmanager
def exclusive(folder: Path, task: str) -> Iterator[None]:
    """Be the only process that works in a folder, which is made; whoever comes later waits and says
    so.

    The lock goes with the process, however that ends. Where the file system knows no locks there is
    none.

    Args:
        folder: to work in.
        task: what whoever holds the lock does, for the line on the screen.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+b") as file:
        if not _lock(file, wait=False):
            _say(f"waiting for another run that {task}: {folder}")
            _lock(file, wait=True)
        yield


def _lock(file, wait: bool) -> bool:
    """Take the lock; returns False where another process has it and `wait` is off."""
    try:
        import fcntl
    except ImportError:  # Windows has no flock: there two runs should not share a bank at once
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True


def _say(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)
