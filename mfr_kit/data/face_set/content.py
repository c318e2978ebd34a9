"""Whether the images of a set are still those that its list of digests names.

Reading a million files for every measurement would cost minutes, trusting the list would keep the
embedding of an image that was replaced. So all images are read once, and what was found is
remembered under the files' stamps: path, size, inode, and the times of the last change of content
and of inode, which no program can set back. A set that was copied or changed is read again.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mfr_kit import assets, files
from mfr_kit.errors import KitError

CHUNK, READERS = 256, 4  # images a task, threads
BLOCK_BYTES, NOTED_BYTES = 16 << 20, 64 << 20  # hashed at a time; a file whose digest is noted
RACE_NS = 2_000_000_000  # a file this young may change again without a new time stamp


def digest_of(encoded: bytes) -> str:
    """The digest of an encoded image: BLAKE2b-64, in hex."""
    return hashlib.blake2b(encoded, digest_size=8).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 over the SHA-256 of every 16 MiB of a file, which threads share; of a large file it
    is remembered under the file's stamps.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    note = _Note(["sha256 of blocks"], [str(path)]) if size >= NOTED_BYTES else None
    known = note.read() if note else None
    if known is not None:
        return known

    def read(start: int) -> bytes:
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            block = b""
            while part := file.read(BLOCK_BYTES - len(block)):
                block += part
            return hashlib.sha256(block).digest()

    total = hashlib.sha256()
    with ThreadPoolExecutor(READERS) as pool:
        for part in pool.map(read, range(0, size, BLOCK_BYTES)):
            total.update(part)
    if note:
        note.write(total.hexdigest())
    return total.hexdigest()


def find_replaced(
    lines: Iterable[str],
    digests: Iterable[str],
    count: int,
    paths: Iterable[str],
    encoded: Callable[[int], bytes],
) -> dict[int, str]:
    """Find the images that are not what their digest says.

    Args:
        lines: say which images these are, where each is and its digest as listed.
        digests: of each image, as listed.
        count: how many they are.
        paths: of the files that hold them: a file an image, or the shards of a set of records.
        encoded: reads an image by its number; called from several threads.
    Returns:
        The digest that an image has now by its number, of those with another one than listed. An
        image that cannot be read is not among them: whoever needs it will say so.
    """
    note = _Note(lines, paths)
    if note.read() is not None:
        return {}
    now = _read_digests(count, encoded)
    found, complete = {}, True
    for index, (digest, listed) in enumerate(zip(now, digests, strict=True)):
        complete &= digest == listed
        if digest not in (None, listed):
            found[index] = digest
    if complete:
        note.write("as listed")
    return found


def are_as_listed(lines: Iterable[str], paths: Iterable[str]) -> bool:
    """Whether `find_replaced` once found that these images are what their digests say."""
    return _Note(lines, paths).read() is not None


def fingerprint_of(paths: Sequence[str]) -> str:
    """SHA-256 over the content of files, in their order.

    Returns:
        64 hex digits; a file that cannot be read counts as that.
    """
    note = _Note((), paths)
    known = note.read()
    if known is not None:
        return known
    digest = hashlib.sha256()
    for value in _read_digests(len(paths), lambda index: Path(paths[index]).read_bytes()):
        digest.update(f"{value}\n".encode())
    note.write(digest.hexdigest())
    return digest.hexdigest()


def _read_digests(count: int, encoded: Callable[[int], bytes]) -> Iterator[str | None]:
    """Yield the digest of every image, None for one that cannot be read."""

    def read(start: int) -> list[str | None]:
        return [_digest(encoded, index) for index in range(start, min(start + CHUNK, count))]

    with ThreadPoolExecutor(READERS) as pool:
        for part in pool.map(read, range(0, count, CHUNK)):
            yield from part


def _digest(encoded: Callable[[int], bytes], index: int) -> str | None:
    try:
        return digest_of(encoded(index))
    except (KitError, OSError):
        return None


class _Note:
    """What was found out about files with these stamps, kept in the kit's cache folder."""

    def __init__(self, lines: Iterable[str], paths: Iterable[str]) -> None:
        digest, newest = hashlib.sha256(), 0
        for line in lines:
            digest.update(f"{line}\n".encode("utf-8", "surrogateescape"))
        for path in paths:
            stamp, changed_ns = _stamp(path)
            digest.update(f"{stamp}\n".encode("utf-8", "surrogateescape"))
            newest = max(newest, changed_ns)
        self._path = assets.home() / "verified" / digest.hexdigest()
        self._settled = newest < time.time_ns() - RACE_NS

    def read(self) -> str | None:
        try:
            return self._path.read_text(encoding="ascii") or None
        except (OSError, ValueError):
            return None

    def write(self, text: str) -> None:
        if self._settled:
            with contextlib.suppress(OSError):  # without the note the images are read again
                files.write_text(self._path, text)


def _stamp(path: str) -> tuple[str, int]:
    """Describe a file as it lies there, and say when it last changed."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return f"{path}\nmissing", 0
    times = f"{found.st_mtime_ns} {found.st_ctime_ns}"
    state = f"{os.path.abspath(path)}\n{found.st_size} {found.st_ino} {times}"
    return state, max(found.st_mtime_ns, found.st_ctime_ns)
