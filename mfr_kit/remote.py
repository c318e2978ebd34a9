"""The door to what lies behind a URL: `s3://`, `gs://`, `https://`, by fsspec.

A URL is opened as a path below `remote/` in the kit's cache folder: `s3://faces/train` is
`remote/s3/faces/train`. Tables are downloaded there, once for every change of the object; images
are not: who finds no file there asks `origin` for its URL, and reads the bytes it needs
(`Ranges`, `read_object`), which block_cache.py keeps.
"""

import functools
import hashlib
import sys
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mfr_kit import assets, files
from mfr_kit.block_cache import BlockCache, block_bytes, limit_bytes
from mfr_kit.claims import claims_beside, sole
from mfr_kit.errors import KitError, SetError
from mfr_kit.network_errors import is_absent, reading, retried
from mfr_kit.paths import url_of

EXTRAS = {"s3": "remote", "http": "remote", "https": "remote", "gs": "gcs"}
LARGE_BYTES = 100_000_000  # a table that takes a while
_LOCKS = [threading.Lock() for _ in range(16)]  # threads that want one block fetch it once
_STATE = ("ETag", "etag", "Content-MD5", "md5Hash", "generation", "Last-Modified", "LastModified")


def localise(path: Path | str, tables: Sequence[str], needed: str = "") -> Path:
    """Give the local path of what a URL names, after downloading the tables that lie there; any
    other path as it is.

    Args:
        path: or a URL, also as `Path` spells it (`s3:/bucket`).
        tables: names inside the folder that the URL is; those that are not there are left out.
        needed: the one of them without which nothing is opened.
    Raises:
        KitError: nothing there, no permission, no credentials, or a package is missing.
    """
    url = url_of(path)
    if url is None:
        return Path(path)
    local = _local(url)
    for name in sorted(tables, key=lambda name: name != needed):
        if not fetch(local / name) and name == needed:
            raise KitError(f"{url}: there is no {name}")
    return local


def origin(path: Path | str) -> str | None:
    """Return the URL of a path below `remote/`, None for any other."""
    home = _home()
    if not str(path).startswith(f"{home}/"):
        return None
    scheme, _, rest = Path(path).relative_to(home).as_posix().partition("/")
    return f"{scheme}://{rest}"


def fetch(path: Path) -> bool:
    """Download the object of a path below `remote/` unless it is there as it is now.

    Returns:
        Whether there is such an object; where there is none, the file goes too.
    Raises:
        KitError: it cannot be read.
    """
    url = origin(path)
    assert url is not None
    note = path.with_name(f".{path.name}.state")
    path.parent.mkdir(parents=True, exist_ok=True)
    # one process downloads a table, the others wait for it
    with sole(claims_beside(path), "download", f"downloads {url}"), reading(url):
        system = _system(url)
        try:
            info = system.info(url)
        except FileNotFoundError as error:
            if not is_absent(error):
                raise
            path.unlink(missing_ok=True)
            return False
        state = _state(info)
        if path.is_file() and note.is_file() and note.read_text(encoding="utf-8") == state:
            return True
        if (info.get("size") or 0) > LARGE_BYTES:
            print(f"downloading {url} ({info['size'] / 1e6:,.0f} MB)", file=sys.stderr)
        with files.replacing(path) as temporary:
            system.get_file(url, str(temporary))
        files.write_text(note, state)
        return True


class Ranges:
    """Ranges of bytes of an object, in blocks that are kept. Picklable, safe with threads
    and forked workers.

    Args:
        url: of the object.
    Raises:
        KitError: it cannot be read, has no size, or its server answers no ranges.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        with reading(url):
            info = _system(url).info(url)
            if info.get("size") is None or info.get("partial") is False:
                raise _no_ranges(url)
            if url.startswith("http"):
                _probe(url)
        self.size, self._block = int(info["size"]), block_bytes()
        named = f"{url}\n{_state(info)}\n{self._block}"
        self._name = hashlib.sha256(named.encode()).hexdigest()[:32]

    def read(self, start: int, size: int) -> bytes:
        """Return `size` bytes from `start`, fewer at the end of the object. The blocks that are
        missing are asked for at once.

        Raises:
            KitError: the network or the server says no.
        """
        stop = min(start + size, self.size)
        if stop <= start:
            return b""
        numbers = range(start // self._block, (stop - 1) // self._block + 1)
        parts = [self._kept(number, start, stop) for number in numbers]
        if None in parts:
            with _LOCKS[numbers[0] % len(_LOCKS)]:
                parts = [self._kept(number, start, stop) for number in numbers]
                missing = [row for row, part in enumerate(parts) if part is None]
                if missing:
                    fetched = self._fetch(numbers[missing[0]], numbers[missing[-1]] + 1)
                    parts[missing[0] : missing[-1] + 1] = [
                        block[slice(*self._span(number, start, stop))] for number, block in fetched
                    ]
        return parts[0] or b"" if len(parts) == 1 else b"".join(part or b"" for part in parts)

    def _span(self, number: int, start: int, stop: int) -> tuple[int, int]:
        """The part of a block that a range takes: from, to."""
        first = number * self._block
        return max(start - first, 0), min(stop - first, self._block)

    def _kept(self, number: int, start: int, stop: int) -> bytes | None:
        at, end = self._span(number, start, stop)
        found = _cache().read(self._name, number, at, end - at)
        return found if found is not None and len(found) == end - at else None

    def _fetch(self, first: int, last: int) -> list[tuple[int, bytes]]:
        """Read blocks, and keep them."""
        start, stop = first * self._block, min(last * self._block, self.size)
        with reading(self.url):
            data = retried(lambda: _system(self.url).cat_file(self.url, start=start, end=stop))
        if len(data) != stop - start:
            raise SetError(
                f"{self.url}: {stop - start} bytes from {start} expected, {len(data)} came; the "
                "object was changed while in use, or its server answers no range requests"
            )
        blocks = [
            (number, data[(number - first) * self._block : (number + 1 - first) * self._block])
            for number in range(first, last)
        ]
        for number, block in blocks:
            _cache().write(self._name, number, block)
        return blocks


def read_object(path: Path, state: Path) -> bytes:
    """Read a small object whole, through the cache.

    Args:
        path: below `remote/`.
        state: a downloaded table; when it changes what was kept is forgotten.
    Raises:
        KitError: it cannot be read.
    """
    url = origin(path)
    assert url is not None
    note = state.with_name(f".{state.name}.state").read_text(encoding="utf-8")
    name = hashlib.sha256(f"{url}\n{note}".encode()).hexdigest()[:32]
    found = _cache().read(name, 0, 0, -1)
    if found is None:
        with reading(url):
            found = retried(lambda: _system(url).cat_file(url))
        _cache().write(name, 0, found)
    return found


def _home() -> Path:
    return assets.home().absolute() / "remote"


def _cache() -> BlockCache:
    return _cache_at(_home() / ".blocks", limit_bytes())


@functools.cache
def _cache_at(folder: Path, limit: int) -> BlockCache:
    return BlockCache(folder, limit)


def _local(url: str) -> Path:
    scheme, _, rest = url.partition("://")
    parts = rest.rstrip("/").split("/")
    if not all(parts) or {".", ".."} & set(parts) or set("?#\0") & set(rest):
        raise KitError(f"{url}: a URL without empty parts, '..', '?' or '#' is needed")
    return _home() / scheme / Path(*parts)


def _system(url: str) -> Any:
    """The filesystem of a URL; a forked process gets one of its own."""
    scheme = url.partition("://")[0]
    try:
        import fsspec

        return fsspec.filesystem(scheme)
    except (ImportError, ValueError):
        raise KitError(
            f"{url}: {scheme}:// needs a package that is not installed: "
            f"pip install 'mfr-kit[{EXTRAS[scheme]}]'"
        ) from None


def _state(info: dict) -> str:
    """What tells an object from what lay there before; where a server says nothing of the kind,
    what is equal to nothing, so that it is read again.
    """
    known = [f"{name} {info[name]}" for name in _STATE if info.get(name)]
    return "\n".join([f"size {info.get('size')}", *(known or [uuid.uuid4().hex])])


def _probe(url: str) -> None:
    """Read a byte from the middle: a server without ranges would send the whole file each time."""
    try:
        with _system(url).open(url, "rb", block_size=1, cache_type="none") as file:
            file.seek(1)
            file.read(1)
    except ValueError:
        raise _no_ranges(url) from None


def _no_ranges(url: str) -> KitError:
    return KitError(
        f"{url}: this server answers no range requests, so that no record can be read alone: "
        "download the set"
    )
