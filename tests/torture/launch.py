"""Commands of the kit in sessions of their own, to be killed whole: from outside at a moment, or
by themselves at the nth time that they touch a file of theirs.

They are forked from a server that has imported the kit, where a start takes milliseconds; from
there on they are what `python kit.py` is.
"""

import contextlib
import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARK = "MFR_KIT_TORTURE"  # says in the environment of what a command starts whose it is
RANKS = "torch.distributed.run"
RANKS_LINE = "--standalone --nproc-per-node 2 --monitor-interval 0.1"
TOUCHES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}
USED = """mfr_kit.cli mfr_kit.augment.run mfr_kit.data.convert mfr_kit.training.distill
mfr_kit.ablation.ablate mfr_kit.evaluation.run mfr_kit.submission.export mfr_kit.submission.package
mfr_kit.data.detectors.yunet torch torch.onnx onnxruntime onnx cv2 albumentations scipy.stats
pyarrow.parquet mfr_kit.masks.render mfr_kit.evaluation.compare typer rich"""


@dataclass(frozen=True)
class SelfKill:
    """Signal this process, or all of its group, before it touches its files the nth time."""

    touch: int
    everybody: bool = False
    number: int = signal.SIGKILL


class Running:
    """A command that was started.

    Args:
        words: its line, after `kit.py`; two ranks of it where RANKS is the first word.
        folder: where it works; what it says goes beside, as FOLDER.out and FOLDER.err.
        kill: what it does to itself.
    """

    def __init__(self, words: Sequence[str], folder: Path, kill: SelfKill | None = None) -> None:
        self.words, self.folder, self.kill = words, folder, kill
        self.mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.began = time.monotonic()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(USED.split())
        self.process = context.Process(target=serve, args=(list(words), folder, self.mark, kill))
        self.process.start()
        assert self.process.pid is not None
        self.pid = self.process.pid

    def wait(self, limit_s: float) -> int | None:
        """Return the exit code, -9 after a kill; None where it still runs then."""
        self.process.join(limit_s)
        self.seconds = time.monotonic() - self.began
        return self.process.exitcode

    def wait_begun(self, limit_s: float) -> None:
        """Wait until it is where a new Python hands over to `kit.py`."""
        until, begun = (
            time.monotonic() + limit_s,
            self.folder.with_name(f"{self.folder.name}.begun"),
        )
        while not begun.exists() and self.process.is_alive() and time.monotonic() < until:
            time.sleep(0.002)

    def others(self) -> list[int]:
        """List the living processes that it has started, by their session or environment."""
        found = []
        for entry in os.scandir("/proc"):
            if entry.name.isdigit() and int(entry.name) != self.pid and self._owns(entry.path):
                found.append(int(entry.name))
        return found

    def workers(self) -> list[int]:
        """List those of them that work: what keeps account of shared memory does not."""
        kept = []
        for pid in self.others():
            with contextlib.suppress(OSError):
                if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                    kept.append(pid)
        return kept

    def orphans(self, grace_s: float) -> tuple[float, list[int]]:
        """Wait until all that it has started is gone, `grace_s` at most.

        Returns:
            seconds that took, and who is still there.
        """
        began = time.monotonic()
        while (left := self.others()) and time.monotonic() - began < grace_s:
            time.sleep(0.02)
        return time.monotonic() - began, left

    def end(self) -> None:
        """Kill what is left of it."""
        for pid in [*self.others(), *([self.pid] if self.process.is_alive() else [])]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.join()

    def traceback(self) -> str:
        """Return the end of what it has said where that holds a traceback: of the kit, of ranks,
        whose torchrun says with one of its own that a rank has failed.
        """
        said = self.said()
        own = "/mfr_kit/cli/" if RANKS in self.words else ""
        return said[-600:] if "Traceback" in said and own in said else ""

    def said(self) -> str:
        """Return what it has written on standard error; nothing where it was killed before that."""
        path = self.folder.with_name(f"{self.folder.name}.err")
        return path.read_text(errors="replace") if path.exists() else ""

    def touches(self) -> int:
        """Count how often it has touched its files, once it has ended by itself."""
        return int(self.folder.with_name(f"{self.folder.name}.touches").read_text())

    def _owns(self, place: str) -> bool:
        try:
            state, *fields = Path(place, "stat").read_text().rpartition(")")[2].split()
            if state in "ZX":
                return False
            wanted = f"{MARK}={self.mark}".encode()
            return int(fields[2]) == self.pid or wanted in Path(place, "environ").read_bytes()
        except OSError:
            return False


def serve(words: list[str], folder: Path, mark: str, kill: SelfKill | None) -> None:
    """Be `python kit.py WORDS`, or a torchrun of it, in a new session."""
    os.setsid()
    os.chdir(folder)
    os.environ[MARK] = mark
    os.environ["MFR_KIT_HOME"] = str(folder / "home")
    os.environ.pop("COLUMNS", None)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as `main` does first
    tracker = resource_tracker._resource_tracker
    tracker._fd = tracker._pid = None  # the row's; a command has one of its own
    multiprocessing.process._parent_process = None
    for number, suffix in ((1, "out"), (2, "err")):
        target = folder.with_name(f"{folder.name}.{suffix}")
        os.dup2(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    count = _count_touches(str(folder), kill)
    sys.argv = [str(ROOT / "kit.py"), *words]
    folder.with_name(f"{folder.name}.begun").touch()
    try:
        if words[0] == RANKS:
            sys.argv = [RANKS, *RANKS_LINE.split(), str(ROOT / "kit.py"), *words[1:]]
            runpy.run_module(RANKS, run_name="__main__")
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        folder.with_name(f"{folder.name}.touches").write_text(str(count[0]))


def _count_touches(folder: str, kill: SelfKill | None) -> list[int]:
    count = [0]

    def look(event: str, given: tuple) -> None:
        if event == "open":
            if not isinstance(given[2], int) or not given[2] & (os.O_WRONLY | os.O_RDWR):
                return
        elif event not in TOUCHES:
            return
        try:
            path = os.path.abspath(os.fsdecode(given[0]))
        except TypeError:  # a descriptor
            return
        if not path.startswith(folder + os.sep):
            return
        count[0] += 1
        if kill and count[0] == kill.touch:
            (os.killpg if kill.everybody else os.kill)(os.getpid(), kill.number)

    sys.addaudithook(look)
    return count
