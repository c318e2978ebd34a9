"""How the process gets memory from the system."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # M_* of glibc's malloc.h


def keep_freed() -> bool:
    """Make the C library keep freed blocks, however large, for the next request; returns whether it
    could (Linux with glibc).

    By default every activation of a network, tens of megabytes each, is mapped and unmapped, and
    the kernel zeroes its pages anew, in a training step (`benchmarks/train_step.py --malloc` times
    it both ways) as in a forward pass. The price is that the process stays as large as it once was.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl has neither this name nor mallopt
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, -1))
