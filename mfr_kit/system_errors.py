"""What the operating system refuses, in one line: a full disk, a folder that may not be written, a
name that does not fit.

The command line asks `explain` about every exception that is no `KitError`. It answers only for
what a user can mend; for everything else it has no answer, and the traceback of a bug of ours is
shown.
"""

import errno
import os
import re
import sys

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space, or write to another disk",
    errno.EDQUOT: "your quota of disk space is used up: free some space, or write to another disk",
    errno.EFBIG: "the file is larger than the filesystem or `ulimit -f` allows: write to another "
    "disk",
    errno.EROFS: "the filesystem can only be read: write to another place",
    errno.EACCES: "permission denied: change the permissions (ls -l shows them), or choose another "
    "place",
    errno.EPERM: "the system does not permit it: choose another place",
    errno.ENAMETOOLONG: "the name is too long for the filesystem: choose a shorter one",
    errno.ENOTDIR: "a part of this path is a file, not a folder: choose another path",
    errno.EISDIR: "a folder is there where a file is needed: choose another name",
    errno.ENOENT: "no such file or folder (was it moved or deleted meanwhile?)",
    errno.EEXIST: "exists already: choose another name, or delete it",
    errno.ENOTEMPTY: "the folder exists already and holds files: choose another name, or empty it",
    errno.ELOOP: "its symbolic links go round in a circle: mend the link",
    errno.EMFILE: "too many open files: raise the limit (`ulimit -n 4096`), or use fewer --workers",
    errno.ENFILE: "the system has too many open files: close other programs, or use fewer "
    "--workers",
    errno.EIO: "the disk reports an error: check it, or use another one",
    errno.ESTALE: "the network folder has gone: mount it again",
    errno.ETXTBSY: "the file is in use: close the program that has it open",
    errno.EBUSY: "the file or folder is in use: choose another place",
    errno.EXDEV: "cannot be moved between two filesystems: choose a place on one of them",
    errno.EINVAL: "the filesystem does not take this name or this way of writing: choose another "
    "place",
    errno.ENOMEM: "out of memory: use a smaller batch or fewer --workers",
    errno.ENODEV: "no such device: choose another place",
    errno.ENXIO: "nothing reads from this pipe or device: choose another place",
}
_NEEDS_A_NAME = (
    errno.ENOENT,
    errno.EEXIST,
    errno.EINVAL,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENOMEM,
)
_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "std::bad_alloc", "bad allocation")
_MEMORY_LINE = "out of memory: use a smaller batch, fewer --workers, or close other programs"
_WORKER_LINE = (
    "a worker process died (killed, or out of memory): use fewer --workers or a smaller batch"
)
_RANKS_LINE = (
    "another rank is gone, or cannot be reached: its own lines say why; start all of them again"
)


def explain(error: BaseException) -> str | None:
    """Say in one line what the user can mend about an exception; None where it is none of these but
    a bug of ours.

    Args:
        error: what escaped from a command; its causes are looked at too, since libraries wrap what
            the system said.
    """
    for found in _chain(error):
        line = _line(found)
        if line:
            return " ".join(line.split())
    return None


def disk_error(error: BaseException) -> OSError | None:
    """Find the refusal to write among an exception's causes, with its `errno` set; None where
    there is none.
    """
    for found in _chain(error):
        if isinstance(found, OSError):
            number = _number(found)
            if number in _REMEDIES and number not in _NEEDS_A_NAME:
                return found if found.errno else OSError(number, os.strerror(number))
    return None


def remedy(number: int | None) -> str | None:
    """Say what an `errno` means and what to do about it; None for one that users do not cause."""
    return _REMEDIES.get(number) if number is not None else None


def _chain(error: BaseException | None):
    """Yield the exception, then what it was raised from or while handling; only refusals to
    write are taken from there.
    """
    seen = set()
    first = error
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if error is first or (isinstance(error, OSError) and _number(error) in DISK_FULL):
            yield error
        error = error.__cause__ or error.__context__


def _line(error: BaseException) -> str | None:
    if isinstance(error, OSError):
        return _system_line(error)
    if isinstance(error, UnicodeEncodeError):
        return _name_line(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return _MEMORY_LINE
    return _runtime_line(error) if isinstance(error, RuntimeError) else None


def _runtime_line(error: RuntimeError) -> str | None:
    text = str(error)
    if any(words in text for words in _OUT_OF_MEMORY):
        return _MEMORY_LINE
    if "Too many open files" in text:
        return _REMEDIES[errno.EMFILE]
    if isinstance(error, _errors_between_ranks()) or "gloo/transport" in text:
        return _RANKS_LINE
    died = "DataLoader worker" in text and ("killed by signal" in text or "exited" in text)
    return _WORKER_LINE if died or type(error).__name__ == "BrokenProcessPool" else None


def _errors_between_ranks() -> tuple[type[RuntimeError], ...]:
    torch = sys.modules.get("torch.distributed")  # which no command loads that has no ranks
    return (torch.DistError,) if torch is not None and torch.is_available() else ()


def _system_line(error: OSError) -> str | None:
    if "No usable temporary directory" in str(error):
        return (
            "no folder for temporary files can be written: free some space, or name one with TMPDIR"
        )
    number, name = _number(error), _name(error)
    said = remedy(number)
    if said is None or (name is None and number in _NEEDS_A_NAME):
        return None
    return f"{name}: {said}" if name is not None else said


def _number(error: OSError) -> int | None:
    if error.errno is not None:
        return error.errno
    text = str(error)
    found = re.search(r"\[Errno (\d+)\]", text)  # a DataLoader's worker hands on the text alone
    if found:
        return int(found[1])
    # NumPy's tofile says no more than this when the disk is full
    return errno.ENOSPC if re.search(r"\d+ requested and \d+ written", text) else None


def _name(error: OSError) -> str | None:
    if error.filename is not None:
        return shown(error.filename)
    found = re.search(r"\[Errno \d+\][^\n]*: '([^'\n]+)'", str(error))
    return found[1] if found else None


def _name_line(error: UnicodeEncodeError) -> str:
    text = shown(error.object if len(error.object) <= 200 else error.object[error.start :][:200])
    if any("\udc80" <= letter <= "\udcff" for letter in error.object[error.start : error.end]):
        return (
            f"{text}: this name is not UTF-8: rename it (`convmv -f gbk -t utf8 --notest` does "
            "whole folders)"
        )
    return (
        f"{text}: cannot be written as {error.encoding}: set PYTHONUTF8=1 or LC_ALL=C.UTF-8 and "
        "run it again"
    )


def shown(path: str | bytes | int | os.PathLike) -> str:
    """Return a path as text of one line that every terminal takes: bytes that are not UTF-8 and
    control characters are escaped.
    """
    text = path if isinstance(path, str) else os.fsdecode(path) if not isinstance(path, int) else ""
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
