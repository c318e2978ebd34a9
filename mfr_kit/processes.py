"""Which processes are no more, so that what they left may be taken over or cleared away; and how
much memory one took.
"""

import functools
import os
import socket
import sys
from pathlib import Path

HOST = socket.gethostname()


@functools.cache
def space() -> str:
    """Name the numbering that process numbers are of: this machine's, or one container's on it."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def is_gone(pid: int) -> bool:
    """Whether a process of this numbering is no more; False where the system does not say."""
    if os.name == "nt" or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    try:  # dead, and its parent has not asked yet; "pid (name) state ..."
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def peak_mib(pid: int | None = None) -> float | None:
    """Return the most memory that a process ever had resident, in MiB.

    Args:
        pid: of the process, on Linux only; None is this one.
    Returns:
        None where the system keeps no such count, or not of a process that has ended.
    """
    # on Linux getrusage begins with what the process had that started this one
    if sys.platform == "linux":
        try:
            lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
        except OSError:
            return None
        kib = (int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
        return next((value / 2**10 for value in kib), None)
    try:
        import resource
    except ImportError:
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit if pid is None else None
