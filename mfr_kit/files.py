"""Files and folders, written whole or not at all; paths.py says before the work whether an output
path will do.

A file is written under a temporary name beside its target, put on the disk and moved into place;
where anything fails the temporary one goes and what was there before stays, and a power cut leaves
the old or the new. What the operating system refuses
names the target, not the temporary file (system_errors.py).
"""

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mfr_kit.errors import KitError
from mfr_kit.leftovers import beside
from mfr_kit.paths import is_device, refuse_existing
from mfr_kit.system_errors import disk_error, shown

FEW = 64  # files of a folder that are put on the disk one by one


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole: under a temporary name, then moved into place; its folder is made.
    Permissions follow the umask.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str, errors: str = "strict") -> None:
    """Write text as UTF-8 without BOM, line breaks as they are given.

    Args:
        path: the file; its folder is made.
        text: what to write.
        errors: "backslashreplace" writes names that are not UTF-8 with escapes, for what only
            people read.
    Raises:
        KitError: the text holds a name that is not UTF-8.
    """
    try:
        data = text.encode("utf-8", errors)
    except UnicodeEncodeError as error:
        line = text[: error.start].rpartition("\n")[2] + text[error.start :].partition("\n")[0]
        raise KitError(
            f"{shown(path)} cannot hold {shown(line[:200])}: a name in it is not UTF-8; rename "
            "that file or folder"
        ) from None
    write_bytes(path, data)


def write_json(path: Path, value: Any, **style: Any) -> None:
    """Write a value as JSON, indented by two, with a line break at the end; `style` goes to
    `json.dumps`.
    """
    write_text(path, json.dumps(value, **{"indent": 2, **style}) + "\n")


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; what is written there takes the place of `path` when
    the block ends well.

    A link is followed: what it points to is replaced. A device or pipe (/dev/null, /dev/stdout) is
    written to as it is.

    Raises:
        OSError: what the system refused, with the target as its `filename`.
    """
    path = Path(path)
    if is_device(path):
        with attributed_to(path):
            yield path
        return
    target = Path(os.path.realpath(path))
    temporary = beside(target)
    try:
        with attributed_to(path, temporary):
            make_folder(target.parent)
            yield temporary
            move_into_place(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def building(path: Path) -> Iterator[Path]:
    """Yield a new, empty folder beside `path` to fill; it becomes `path` when the block ends well
    and goes when it does not.

    Raises:
        KitError: `path` exists and is no empty folder.
        OSError: what the system refused, with the target as its `filename`.
    """
    path = Path(path)
    refuse_existing(path)
    target = Path(os.path.realpath(path))
    temporary = beside(target)
    try:
        with attributed_to(path, temporary):
            make_folder(target.parent)
            temporary.mkdir()
            yield temporary
            refuse_existing(path)  # another process may have been faster
            move_into_place(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Yield a folder beside `path` for files that are made on the way to it; it goes at the end."""
    folder = beside(Path(os.path.realpath(path)))
    try:
        with attributed_to(path, folder):
            folder.mkdir(parents=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def attributed_to(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Let what the system refuses inside name `path`: libraries that write raise errors without a
    name, or with the temporary one.

    Args:
        path: what the user asked for.
        temporary: a file or folder that stands for `path` until it is whole; names inside it become
            names inside `path`.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, KitError):
            raise
        found = error if isinstance(error, OSError) and error.errno else disk_error(error)
        if found is None:
            raise
        name = os.fsdecode(found.filename) if isinstance(found.filename, str | bytes) else None
        if name is not None and temporary is not None and name.startswith(str(temporary)):
            name = str(path) + name[len(str(temporary)) :]
        number = found.errno or errno.EIO
        named = OSError(number, os.strerror(number), name or str(path))
        raise named from error


def reserve(path: Path, size_bytes: int) -> None:
    """Make a file of so many bytes whose space is really there, so that writing to it through a
    memory map cannot end the process.

    Raises:
        OSError: the disk is full; the file is gone again.
    """
    with attributed_to(path):
        try:
            with Path(path).open("r+b" if Path(path).exists() else "w+b") as file:
                if size_bytes:
                    os.posix_fallocate(file.fileno(), 0, size_bytes)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):
                return  # a filesystem without this call: then it has to do without
            Path(path).unlink(missing_ok=True)
            raise


def move_into_place(made: Path, target: Path) -> None:
    """Give a whole file or folder its name, as the last step of writing it: what has the name is
    on the disk, whenever the power goes.

    Raises:
        OSError: what the system refused; a new name is gone again then.
    """
    if made.is_dir():
        _sync_below(made)
    else:
        sync(made)
    is_new = not os.path.lexists(target)
    os.replace(made, target)
    try:
        _sync_folder(target.parent)
    except OSError:
        if is_new:  # what is told to have failed is not there
            with contextlib.suppress(OSError):
                os.replace(target, made)
        raise


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where they are missing; their names are on the disk.

    Raises:
        OSError: what the system refused.
    """
    missing = []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = folder.parent
    for made in reversed(missing):
        made.mkdir(exist_ok=True)
        _sync_folder(made.parent)


def sync(path: Path) -> None:
    """Put what a file holds on the disk, or which names a folder has.

    Raises:
        OSError: what the system refused.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a filesystem that cannot
            raise
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(PermissionError):  # written to, not read; and Windows opens none
        sync(folder)


def _sync_below(folder: Path) -> None:
    """Put all that lies below a folder on the disk: a call for each of a few files, one call for
    the whole filesystem where there are more (a million faces would wait a million times).
    """
    items = [folder]
    for item in folder.rglob("*"):
        items.append(item)
        if len(items) > FEW:
            return sync_filesystem(folder)
    for item in reversed(items):
        if item.is_dir():
            _sync_folder(item)
        elif not item.is_symlink():
            sync(item)
    return None


def sync_filesystem(folder: Path) -> None:
    """Put all that was written to the filesystem of a folder on the disk, by one call.

    Raises:
        OSError: what the system refused.
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if os.name != "nt" else None
    if syncfs is None:
        if hasattr(os, "sync"):
            os.sync()
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(handle):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(handle)
