"""The file of a bank: a memory map that any number of processes fill, block by block, each with a
checksum.
"""

import contextlib
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mfr_kit import files
from mfr_kit.claims import CLAIMS

EMBEDDINGS, ABOUT = "embeddings.npy", "bank.json"
TRIES = 5
WHOLE = "blocks"  # folder, beside a bank that is being filled: a file of each whole block


class Table:
    """`embeddings.npy` in a folder, with `bank.json` beside it: what it depends on, and the
    checksum of every block that is whole. Of those that have just become so, the checksum is a file
    in `blocks`: processes that fill a bank together write no file of another's.

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
        self._collected: dict[str, str] = {}

    def spans_missing(self) -> list[tuple[int, int]]:
        """Read what is there, and return the (first row, one past the last) of every block that
        is missing or damaged, in order.
        """
        found = self._read()
        if found is None:
            self._about["blocks"] = {}
        else:
            self._collected = self._fresh()
            self._about = {**found, "blocks": {**found["blocks"], **self._collected}}
        spans, blocks = self._spans(), self._about["blocks"]
        known = {span for span in spans if str(span[0]) in blocks}
        if not known:
            return spans
        rows = self.open("r")
        damaged = [span for span in known if blocks[str(span[0])] != _sum(rows, span)]
        for span in damaged:
            del blocks[str(span[0])]
        if damaged:
            self._tell(
                f"{len(damaged)} of {len(spans)} blocks of {self.folder} are damaged: made again"
            )
        return [span for span in spans if str(span[0]) not in blocks]

    def spans_open(self) -> list[tuple[int, int]]:
        """Return the blocks that no process has recorded, without a look at the rows."""
        recorded = set(self._fresh())  # before bank.json, into which they go
        found = self._read()
        recorded |= set(found["blocks"]) if found else set()
        return [span for span in self._spans() if str(span[0]) not in recorded]

    def has_leftovers(self) -> bool:
        """Whether a process was killed after it had recorded the last block, before it tidied up;
        False where this one may not write.
        """
        left = any((self.folder / name).exists() for name in (WHOLE, CLAIMS))
        return left and os.access(self.folder, os.W_OK)

    def prepare(self) -> None:
        """Make the files where they are not there, and forget blocks that are damaged; one process
        at a time.
        """
        self.spans_missing()
        path = self.folder / EMBEDDINGS
        if not self._fits(path):
            with files.replacing(path) as part:
                empty = np.lib.format.open_memmap(part, "w+", self._dtype, self._shape)
                empty.flush()
                del empty
                files.reserve(part, part.stat().st_size)
        self._write()

    def open(self, mode: Literal["r", "r+"]) -> np.ndarray:
        """Map the (N, 2, D) embeddings: "r" to read, "r+" to fill a bank that is prepared."""
        return np.load(self.folder / EMBEDDINGS, mmap_mode=mode)

    def is_recorded(self, start: int) -> bool:
        """Whether the block that begins at this row has become whole since the bank is filled."""
        return (self.folder / WHOLE / str(start)).exists()

    def record(self, start: int, stop: int, rows: np.ndarray) -> None:
        """Write down that a block is whole."""
        path, text = self.folder / WHOLE / str(start), _sum(rows, (start, stop))
        for _ in range(TRIES):  # another process may take the empty folder away in between
            with contextlib.suppress(FileNotFoundError):
                files.write_text(path, text)
                return
        files.write_text(path, text)

    def collect(self) -> None:
        """Write into `bank.json` which blocks have become whole; one process at a time."""
        found = self._read()
        self._collected = self._fresh()
        if found is None or not self._collected:
            return
        self._about = {**found, "blocks": {**found["blocks"], **self._collected}}
        self._write()

    def _write(self) -> None:
        files.write_json(self.folder / ABOUT, self._about)
        for start in self._collected:  # what is not in bank.json by now was damaged
            (self.folder / WHOLE / start).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (self.folder / WHOLE).rmdir()

    def _spans(self) -> list[tuple[int, int]]:
        block, count = self._about["block"], self._shape[0]
        return [(start, min(start + block, count)) for start in range(0, count, block)]

    def _fresh(self) -> dict[str, str]:
        """Return the checksums, by first row, of blocks that are not in `bank.json` yet."""
        found = {}
        with contextlib.suppress(OSError):
            for path in (self.folder / WHOLE).iterdir():
                if path.name.isdecimal():
                    with contextlib.suppress(OSError, UnicodeDecodeError):
                        found[path.name] = path.read_text(encoding="utf-8")
        return found

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


def _say(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)
