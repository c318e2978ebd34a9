"""The door to what lies behind a URL: `s3://`, `gs://`, `https://`, by fsspec.

A URL is opened as a path below `remote/` in the kit's cache folder: `s3://faces/train` is
`remote/s3/faces/train`. Tables are downloaded there, once for every change of the object; images
are not: who finds no file there asks `origin` for its URL, and reads the bytes it needs
(`Ranges`, `read_object`), which block_cache.py keeps.
"""

import contextlib
import errno
import functools
import hashlib
import itertools
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mfr_kit import assets, files
from mfr_kit.block_cache import BLOCK_BYTES, BlockCache, limit_bytes
from mfr_kit.errors import KitError, SetError
from mfr_kit.paths import url_of

EXTRAS = {"s3": "remote", "http": "remote", "https": "remote", "gs": "gcs"}
TRIES = 3  # of a read that the network interrupts
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
    with _held(path.with_name(f".{path.name}.lock")), _reading(url):
        system = _system(url)
        try:
            state = _state(system.info(url))
        except FileNotFoundError as error:
            if not _is_absent(error):
                raise
            path.unlink(missing_ok=True)
            return False
        if path.is_file() and note.is_file() and note.read_text(encoding="utf-8") == state:
            return True
        with files.replacing(path) as temporary:
            system.get_file(url, str(temporary))
        files.write_text(note, state)
        return True


class Ranges:
    """Ranges of bytes of an object, in blocks of 1 MiB that are kept. Picklable, safe with threads
    and forked workers.

    Args:
        url: of the object.
    Raises:
        KitError: it cannot be read, has no size, or its server answers no ranges.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        with _reading(url):
            info = _system(url).info(url)
            if info.get("size") is None or info.get("partial") is False:
                raise _no_ranges(url)
            if url.startswith("http"):
                _probe(url)
        self.size = int(info["size"])
        self._name = hashlib.sha256(f"{url}\n{_state(info)}".encode()).hexdigest()[:32]

    def read(self, start: int, size: int) -> bytes:
        """Return `size` bytes from `start`, fewer at the end of the object.

        Raises:
            KitError: the network or the server says no.
        """
        stop, parts = min(start + size, self.size), []
        while start < stop:
            number, at = divmod(start, BLOCK_BYTES)
            part = self._read_block(number, at, min(stop - start, BLOCK_BYTES - at))
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_block(self, number: int, at: int, size: int) -> bytes:
        cache = _cache()
        found = cache.read(self._name, number, at, size)
        if found is not None and len(found) == size:
            return found
        with _LOCKS[number % len(_LOCKS)]:
            found = cache.read(self._name, number, at, size)
            if found is None or len(found) != size:
                block = self._fetch(number)
                cache.write(self._name, number, block)
                found = block[at : at + size]
        return found

    def _fetch(self, number: int) -> bytes:
        start = number * BLOCK_BYTES
        stop = min(start + BLOCK_BYTES, self.size)
        with _reading(self.url):
            block = _retried(lambda: _system(self.url).cat_file(self.url, start=start, end=stop))
        if len(block) != stop - start:
            raise SetError(
                f"{self.url}: {stop - start} bytes from {start} expected, {len(block)} came; the "
                "object was changed while in use, or its server answers no range requests"
            )
        return block


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
        with _reading(url):
            found = _retried(lambda: _system(url).cat_file(url))
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


def _retried(read: Any) -> bytes:
    for attempt in itertools.count(1):
        try:
            return read()
        except Exception as error:
            if attempt == TRIES or isinstance(error, KitError) or _is_final(error):
                raise
            time.sleep(0.5 * attempt)
    raise AssertionError


def _is_final(error: Exception) -> bool:
    """Whether a server answered and will not answer otherwise."""
    refused = isinstance(error, FileNotFoundError | PermissionError)
    return refused or getattr(error, "errno", None) == errno.EINVAL


def _is_absent(error: FileNotFoundError) -> bool:
    """Whether a server said that an object is not there, and not that a bucket or itself is not."""
    cause = error.__cause__ or error.__context__
    status = getattr(cause, "status", None)
    return "bucket" not in str(error).lower() and (cause is None or status in (None, 404))


@contextlib.contextmanager
def _reading(url: str) -> Iterator[None]:
    """Put what any of the libraries below raises into one line; a `SetError`, unless an object is
    not there: a network that fails leaves out no photograph.
    """
    try:
        yield
    except KitError:
        raise
    except Exception as error:  # noqa: BLE001  botocore's, aiohttp's and Google's share no class
        gone = isinstance(error, FileNotFoundError) and _is_absent(error)
        raise (KitError if gone else SetError)(f"{url}: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    kind, text = type(error).__name__, (str(error) or type(error).__name__).splitlines()[0]
    if "Credential" in kind or "credential" in text.lower():
        return (
            f"no credentials ({text}): set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY (gs://: GOOGLE_APPLICATION_CREDENTIALS)"
        )
    if isinstance(error, PermissionError):
        return f"no permission to read it ({text})"
    if isinstance(error, FileNotFoundError):
        cause = error.__cause__ or error.__context__
        why = f" ({str(cause).splitlines()[0]})" if cause is not None and str(cause) else ""
        return f"there is nothing to read{why or f' ({text})'}"
    return f"cannot be read ({text})"


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Let one process of this machine download a table, the others wait for it."""
    try:
        import fcntl
    except ImportError:  # Windows: each downloads it, and the last one's stays
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
