"""Ctrl-C and SIGTERM: who can go on later finishes what is in hand, once; the second time all ends
at once. Worker processes leave it to their parent, and go with it.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from types import FrameType, TracebackType

Excepthook = Callable[[type[BaseException], BaseException, TracebackType | None], object]
SIGNALS = (signal.SIGINT, signal.SIGTERM)
POLL_S, GRACE_S = 0.2, 30.0  # how often a rank looks for torchrun; what it has to end by itself


@dataclass
class StopRequest:
    """Whether one of the signals has come."""

    asked: bool = False


@contextlib.contextmanager
def heeded(note: str) -> Iterator[StopRequest]:
    """Let the first signal ask this block to stop, and the second one be what it was before.

    Args:
        note: printed when it is asked: what is finished first.
    Yields:
        What the block looks at; outside the main thread, which alone gets signals, nobody asks.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, frame: FrameType | None) -> None:
        request.asked = True
        restore()
        print(f"\n{note}; once more stops at once", file=sys.stderr, flush=True)

    for number in SIGNALS:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        restore()


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Start worker processes in this block: they do not hear the signals from their first moment
    on, before they can call `serve_parent`; this process hears of them when the block ends.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.getfd()  # its start, which spawning brings about, would let signals through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def raise_on_term() -> None:
    """Let SIGTERM end this process as Ctrl-C does: what is open is closed on the way out."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def follow_torchrun() -> None:
    """Let a rank end when the torchrun that started it does, however that ends: as SIGTERM asks,
    and `GRACE_S` later at any rate. torchrun itself leaves its ranks running when it is killed.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)  # other ranks may be gone: a collective then waits for nobody
    os._exit(1)


def serve_parent() -> None:
    """Call it first in a worker process: what a terminal or a scheduler sends to all processes of a
    job is its parent's to answer; it ends when its parent does, however that ends.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    sys.excepthook = _unless_orphaned(sys.excepthook)  # what serves file descriptors calls it
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent(timeout: float | None = None) -> None:
    """End this worker if its parent ends within `timeout` seconds."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # runs in workers only
    parent.join(timeout)
    if timeout is None or not parent.is_alive():
        os._exit(1)


def _unless_orphaned(hook: Excepthook) -> Excepthook:
    """`hook` for all errors but those of a connection that the end of the parent has cut."""

    def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, (OSError, EOFError)):
            _end_with_parent(timeout=1)  # its sockets may close before the rest of it
        hook(kind, error, trace)

    return tell
