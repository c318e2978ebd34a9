"""A function called in a process of its own, with limits of time and memory: for what a stranger's
file makes other people's compiled code do.

The answer comes back as JSON, never as a pickle: a process that a file has taken over can at worst
tell lies. Memory is what the process itself writes to (Linux: RLIMIT_DATA); elsewhere only the time
is limited.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mfr_kit.errors import KitError
from mfr_kit.options import option, options_class

MOST_ANSWER = 256 << 20  # bytes
_CHILD = "from mfr_kit.limited_process import serve; serve()"


@options_class
class LimitOptions:
    """The limits that a command has which runs files of others."""

    limit_s: int = option(
        900,
        help="Seconds that a file may be run for, in a process of its own; then it is ended.",
        within=">=1",
        affects="machine",
    )
    limit_mib: int = option(
        8192,
        help="MiB of memory that this process may take (Linux only).",
        within=">=256",
        affects="machine",
    )


def call(
    function: str,
    arguments: dict[str, Any],
    what: str,
    limit_s: float,
    limit_mib: int,
    quiet: bool = False,
) -> Any:
    """Call a function in a fresh process and return what it returns.

    Args:
        function: as "package.module:name"; it takes and gives what JSON can say.
        arguments: by name.
        what: names the file in errors.
        limit_s: seconds after which the process, and all that it started, is killed.
        limit_mib: memory that it may take.
        quiet: drop what it prints to stderr.
    Raises:
        KitError: raised by the function, or a limit was passed, or the process died.
    """
    if sys.platform == "win32":  # no pipe can be waited for there
        return _resolve(function)(**arguments)
    request = json.dumps({"function": function, "arguments": arguments}) + "\n"
    with tempfile.TemporaryDirectory() as scratch:  # what a killed process leaves goes with it
        process, reading = _start(limit_mib, Path(scratch), quiet)
        try:
            with contextlib.suppress(BrokenPipeError):
                assert process.stdin is not None
                process.stdin.write(request.encode())
                process.stdin.flush()  # and stays open: it ends when this process does
            said = _read(reading, time.monotonic() + limit_s)
        finally:
            os.close(reading)
            _end(process)
    if said is None:
        raise KitError(
            f"{what} took more than {limit_s:g} s and was stopped; --limit-s allows it more"
        )
    return _answer(said, process.returncode, what, limit_mib)


def _start(limit_mib: int, scratch: Path, quiet: bool) -> tuple[subprocess.Popen, int]:
    """Start the process; returns it and the descriptor that its answer comes from."""
    paths = [str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")]
    own = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "TMPDIR": str(scratch)}
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(writing), str(limit_mib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if quiet else None,
            pass_fds=(writing,),
            start_new_session=True,
            env={**os.environ, **own},
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return process, reading


def _resolve(function: str) -> Callable[..., Any]:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def _read(reading: int, deadline: float) -> bytes | None:
    """All that the process answers, None where it takes too long."""
    said = b""
    while len(said) < MOST_ANSWER:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            return None
        block = os.read(reading, 1 << 20)
        if not block:
            break
        said += block
    return said


def _end(process: subprocess.Popen) -> None:
    """Kill what is left of the process and of all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    process.wait()


def _answer(said: bytes, code: int, what: str, limit_mib: int) -> Any:
    try:
        message = json.loads(said)
        kind, value = message["kind"], message["value"]
    except (ValueError, LookupError, TypeError, RecursionError):
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise KitError(
            f"{what} ended the process that looked at it ({how}): it is damaged or hostile, or "
            f"needs more memory than --limit-mib {limit_mib}"
        ) from None
    if kind == "memory":
        raise KitError(f"{what} needs more memory than --limit-mib {limit_mib}")
    if kind == "error":
        raise KitError(str(value))
    return value


def serve() -> None:
    """What the process does: one request, one answer."""
    writing, limit_mib = int(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(writing, False)
    _limit(limit_mib << 20)
    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        value = _resolve(request["function"])(**request["arguments"])
        message = {"kind": "value", "value": value}
    except KitError as error:
        message = {"kind": "error", "value": str(error)}
    except MemoryError:
        message = {"kind": "memory", "value": ""}
    with os.fdopen(writing, "wb") as file:
        file.write(json.dumps(message).encode())
    sys.stderr.flush()
    os._exit(0)  # no library's farewell may hang


def _limit(size_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (size_bytes, size_bytes))


def _end_with_parent() -> None:
    sys.stdin.buffer.read()  # ends when the parent does
    os._exit(1)
