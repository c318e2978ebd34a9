"""Which processes are no more: what they left may be taken over or cleared away."""

import functools
import os
import socket
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
