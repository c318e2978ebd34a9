"""What can be said of an output path before the work that fills it."""

import contextlib
import errno
import os
import re
import stat
from pathlib import Path
from typing import Literal

from mfr_kit.errors import KitError
from mfr_kit.leftovers import beside
from mfr_kit.system_errors import remedy, shown

_URL = re.compile(r"(s3|gs|https?):/{1,2}(?=[^/])")
_DEVICES = ("/dev", "/dev/fd", "/proc/self/fd")
_PROBE_BYTES = 4096


def url_of(path: Path | str) -> str | None:
    """Return the URL that a path is, None where it is none.

    Args:
        path: text, or a `Path` that was made of one (`s3:/bucket/key`: it drops a slash).
    """
    found = _URL.match(str(path))
    return f"{found[1]}://{str(path)[found.end() :]}" if found else None


def check_output(
    path: Path,
    kind: Literal["file", "folder"] = "file",
    flag: str = "--out",
    *,
    existing: Literal["allow", "refuse"] = "allow",
) -> None:
    """Refuse an output path on which the work would end: call it before the work. Leaves nothing
    behind.

    Args:
        path: what will be written; parents that are missing will be made by the writer.
        kind: what it will be.
        flag: how the user gave it, for the error.
        existing: "refuse" what exists already (an empty folder is nothing).
    Raises:
        KitError: exists as the other kind or already, lies below a file, cannot be written, or has
            a name that does not fit.
    """
    if url_of(path) is not None:
        raise KitError(
            f"{flag} {url_of(path)}: outputs are written to this machine: give a path, and copy "
            "the result"
        )
    path = Path(path)
    what = f"{flag} {shown(path)}"
    _refuse_name(path, what)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    except OSError as error:
        raise KitError(_why(what, path, error)) from None
    if mode is not None:
        _refuse_other_kind(path, mode, kind, what)
        if existing == "refuse":
            refuse_existing(path, flag)
    if not is_device(path):
        written_into = kind == "folder" and mode is not None and existing == "allow"
        inside = path if written_into else None
        _refuse_unwritable(Path(os.path.realpath(path)), inside, what)


def refuse_existing(
    path: Path, flag: str = "", advice: str = "choose another name or delete it"
) -> None:
    """Refuse a path where something lies already; an empty folder is nothing.

    Raises:
        KitError: a file, a link, or a folder with something in it.
    """
    path = Path(path)
    if not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir())):
        return
    raise KitError(f"{flag + ' ' if flag else ''}{shown(path)} exists already: {advice}")


def refuse_other(path: Path, suffix: str, flag: str) -> None:
    """Refuse to replace a file that is there and, by its name, is something else than will be
    written.

    Raises:
        KitError: such a file; a device or a pipe is none.
    """
    if path.is_file() and path.suffix.lower() != suffix:
        raise KitError(
            f"{flag} {shown(path)} exists already and is no {suffix} file: choose a name that "
            f"ends in {suffix}"
        )


def is_device(path: Path) -> bool:
    """Whether something that is no regular file takes what is written: a terminal, a pipe,
    /dev/null.
    """
    if os.path.dirname(os.path.abspath(path)) in _DEVICES:
        return not path.is_dir()
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _refuse_name(path: Path, what: str) -> None:
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError as error:
        raise KitError(
            f"{what}: this system's names are {error.encoding}: set PYTHONUTF8=1 or "
            "LC_ALL=C.UTF-8, or choose another name"
        ) from None
    if any("\udc80" <= letter <= "\udcff" for letter in str(path)):
        raise KitError(
            f"{what}: this name is not UTF-8, which face sets and reports need: choose another name"
        )
    if b"\0" in encoded:
        raise KitError(f"{what}: a name cannot hold a NUL character")


def _refuse_other_kind(path: Path, mode: int, kind: str, what: str) -> None:
    if kind == "file" and stat.S_ISDIR(mode):
        raise KitError(f"{what} is a folder: give the name of a file to write, for example in it")
    if kind == "folder" and not stat.S_ISDIR(mode):
        raise KitError(f"{what} is a file, but a folder is to be written: choose another name")


def _refuse_unwritable(target: Path, inside: Path | None, what: str) -> None:
    """Look at the nearest folder that exists, at the names that are to be made in it, and write
    a probe there.
    """
    missing, folder = [], target if inside is not None else target.parent
    if inside is None:
        missing.append(target.name)
    while not os.path.lexists(folder):
        missing.append(folder.name)
        folder = folder.parent
    if not folder.is_dir():
        raise KitError(f"{what}: {shown(folder)} is a file, not a folder: choose another path")
    longest = _name_max(folder)
    for name in missing:
        if len(os.fsencode(name)) > longest:
            raise KitError(
                f"{what}: a name of {len(os.fsencode(name))} bytes, the filesystem takes "
                f"{longest}: choose a shorter one"
            )
    probe = beside(folder / "probe")
    try:
        probe.write_bytes(bytes(_PROBE_BYTES))
    except OSError as error:
        raise KitError(_why(what, folder, error)) from None
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _why(what: str, place: Path, error: OSError) -> str:
    if error.errno == errno.ENOTDIR:
        above = next((parent for parent in place.parents if parent.is_file()), place.parent)
        return f"{what}: {shown(above)} is a file, not a folder: choose another path"
    reason = remedy(error.errno) or error.strerror
    where = "" if shown(place) in what else f"cannot write in {shown(place)}: "
    return f"{what}: {where}{reason}"


def _name_max(folder: Path) -> int:
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError):
        return 255
