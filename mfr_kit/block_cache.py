"""Blocks of bytes on the local disk, the least lately used of which go where they exceed a limit.

fsspec's own caches were not taken: none has a limit on its size, and their lists of what is there
are not safe with several processes. Here a block is a file, written whole under another name, and
the folder is the only list.
"""

import contextlib
import os
import struct
import threading
from pathlib import Path

from mfr_kit.errors import KitError

LIMIT, USUAL_GB = "MFR_KIT_REMOTE_CACHE_GB", 20.0
BLOCK, USUAL_KB = "MFR_KIT_REMOTE_BLOCK_KB", 1024.0
_MARK, _END = b"MFRB", struct.Struct("<4sQ")  # ends every block, with its length
_SLACK = 32  # of so many parts of the limit, one may be exceeded by every process


def limit_bytes() -> int:
    """Read the limit from the environment.

    Raises:
        KitError: it is no number above 0.
    """
    return int(1e9 * _number(LIMIT, USUAL_GB, "gigabytes"))


def block_bytes() -> int:
    """Read the length of a block from the environment.

    Raises:
        KitError: it is no number above 0.
    """
    return max(1, int(1024 * _number(BLOCK, USUAL_KB, "kilobytes")))


def _number(name: str, usual: float, unit: str) -> float:
    given = os.environ.get(name, "")
    try:
        value = float(given or usual)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e7:
        raise KitError(f"{name}={given}: give a number of {unit} above 0")
    return value


class BlockCache:
    """Blocks by the name of their object and their number. Safe with threads and processes.

    Args:
        folder: where they lie.
        limit: bytes that they may take; every process may exceed it by a 32nd, or by a block.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._lock = threading.Lock()
        self._written = limit  # the first block looks what others left

    def read(self, name: str, number: int, start: int, size: int) -> bytes | None:
        """Return a part of a block, shorter at its end; None where the block is not there, or
        not whole.
        """
        path = self._path(name, number)
        try:
            with path.open("rb") as file:
                length = file.seek(0, os.SEEK_END) - _END.size
                file.seek(max(length, 0))
                if file.read() != _END.pack(_MARK, max(length, 0)):
                    return None  # a power cut left less of it, or zeros
                file.seek(start)
                left = max(length - start, 0)
                data = file.read(left if size < 0 else min(size, left))
            os.utime(path)
        except OSError:
            return None
        return data

    def write(self, name: str, number: int, data: bytes) -> None:
        """Keep a block; where the disk refuses it, it is fetched again the next time."""
        path = self._path(name, number)
        temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data + _END.pack(_MARK, len(data)))
            temporary.replace(path)
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        with self._lock:
            self._written += len(data)
            if self._written >= self._limit // _SLACK:
                self._written = 0
                self._sweep()

    def _path(self, name: str, number: int) -> Path:
        return self._folder / name / f"{number:08d}"

    def _sweep(self) -> None:
        """Remove the blocks that were used longest ago, down to a little below the limit."""
        found, total = [], 0
        for path in self._folder.glob("*/*"):
            with contextlib.suppress(OSError):
                state = path.stat()
                found.append((state.st_mtime_ns, state.st_size, path))
                total += state.st_size
        found.sort(key=lambda entry: entry[0])
        for _, size, path in found:
            if total <= self._limit - self._limit // _SLACK:
                return
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size
