"""An error on one rank ends all of them within seconds, with its line, whoever started them.

A collective waits for a rank that has failed until `--timeout`. torchrun kills the others, srun and
mpirun need not. So a rank that fails says so in the store through which the ranks met, and a
thread on every rank looks there.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import torch.distributed as dist

from mfr_kit import system_errors
from mfr_kit.errors import KitError
from mfr_kit.training.ranks import Ranks

KEY, SEEN = "mfr_kit/error", "mfr_kit/seen"
POLL_S = 0.5
GRACE_S = 5.0  # for the others to look, before what they wait for breaks down
LINE_END = "\n"


@contextlib.contextmanager
def shared(ranks: Ranks) -> Iterator[None]:
    """End this process when another rank fails inside its block, and let the others end when this
    one does.

    The rank that fails first raises its error as it is; of the others the first rank prints it too,
    and all exit with code 2.
    """
    if ranks.world == 1:
        yield
        return
    watch = _Watch(ranks)
    try:
        yield
    except Exception as error:
        watch.end()
        found = watch.publish(_line_of(error))
        if found is None:
            raise
        watch.tell(found, same_as=_line_of(error))
        raise SystemExit(KitError.exit_code) from None
    finally:
        watch.end()


def _line_of(error: Exception) -> str:
    if isinstance(error, KitError):
        return str(error)
    return system_errors.explain(error) or f"{type(error).__name__}: {error}".splitlines()[0]


class _Watch:
    """Looks whether another rank has failed."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks, self._ended = ranks, threading.Event()
        # connections of their own: whoever waits for a key on another keeps it busy
        self._store, self._looks = (_store_of_ranks() for _ in range(2))
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()

    def publish(self, line: str) -> str | None:
        """Say that this rank has failed; returns what another one has said before."""
        own = f"{self._ranks.rank}{LINE_END}{line}"
        try:
            found = self._store.compare_set(KEY, "", own).decode()
            if found != own:
                self._store.add(SEEN, 1)
                if self._ranks.first:
                    self._wait_for_others(self._store)
                return found
            self._wait_for_others(self._store)
        except RuntimeError:  # the process that keeps the store is gone
            pass
        return None

    def tell(self, found: str, same_as: str = "") -> None:
        """Print what another rank has said, unless it says the same of this one."""
        rank, _, line = found.partition(LINE_END)
        if self._ranks.first and line != same_as:
            print(f"\nerror: rank {rank}: {line}", file=sys.stderr)

    def _wait_for_others(self, store: dist.Store) -> None:
        """Wait till all but the rank that failed have seen that it has."""
        until = time.monotonic() + GRACE_S
        while store.add(SEEN, 0) < self._ranks.world - 1 and time.monotonic() < until:
            time.sleep(POLL_S / 10)

    def _look(self) -> None:
        try:
            while not self._ended.wait(POLL_S):
                if self._looks.check([KEY]):
                    self.tell(self._looks.get(KEY).decode())
                    self._looks.add(SEEN, 1)
                    if self._ranks.first:  # whose process may keep the store
                        self._wait_for_others(self._looks)
                    break
            else:
                return
        except RuntimeError:  # as above; a moment for the end of a run, where that is usual
            if self._ended.wait(GRACE_S):
                return
            print(f"\nerror: rank {self._ranks.rank}: the others are gone", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(KitError.exit_code)  # the main thread may be in a collective for hours


def _store_of_ranks() -> dist.Store:
    store: Any = dist.distributed_c10d._get_default_store()  # torch's stubs know no clone
    return store.clone()
