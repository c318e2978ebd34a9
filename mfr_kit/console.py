"""Where what a command says goes: --quiet, --log-file and --json-log, which every command takes
and none declares.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from mfr_kit.errors import KitError
from mfr_kit.paths import check_output

FLAGS = {
    "--quiet": "Show no progress and no advice; results and errors stay.",
    "--log-file FILE": "Append every line, and one of progress each 30 s, with its time to FILE.",
    "--json-log FILE": "Append the same to FILE as JSON, an object a line.",
}
NAMES = {flag.split()[0] for flag in FLAGS}


@dataclass(frozen=True)
class Console:
    """What is shown, and who else is told; `records` get a kind of event and what is in it."""

    quiet: bool = False
    advice: bool = True
    records: list[Callable[[str, dict[str, Any]], None]] = field(default_factory=list)

    def record(self, kind: str, **content: Any) -> None:
        """Write an event to the log files."""
        for write in self.records:
            write(kind, content)


_consoles = [Console()]  # of this process, the innermost last


def current() -> Console:
    """Return what the command that runs was given."""
    return _consoles[-1]


def terminal() -> TextIO:
    """Return standard error as it is, past the log files: what is drawn over is no line of
    theirs.
    """
    return getattr(sys.stderr, "behind", sys.stderr)


@dataclass(frozen=True)
class OutputFlags:
    """The three flags of a command line; a path is None where its flag is not given. Without
    `advice` no command says which one comes next.
    """

    quiet: bool = False
    log_file: Path | None = None
    json_log: Path | None = None
    advice: bool = True


def take_flags(arguments: list[str]) -> tuple[list[str], OutputFlags]:
    """Take the three flags, wherever they stand, out of a command line.

    Returns:
        the other words, and what was given; behind `--` nothing is a flag.
    Raises:
        KitError: a file is not named, or cannot be written.
    """
    left: list[str] = []
    found: dict[str, Any] = {}
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        name = name.replace("_", "-")
        if word == "--":
            left += [word, *words]
        elif word == "--quiet":
            found["quiet"] = True
        elif name in ("--log-file", "--json-log"):
            path = value if equals else next(words, "")
            if not path or path.startswith("--"):
                raise KitError(f"{name} needs a file: {name} job.log")
            found[name[2:].replace("-", "_")] = Path(path)
            check_output(Path(path), "file", name)
        else:
            left.append(word)
    return left, OutputFlags(**found)


@contextlib.contextmanager
def opened(flags: OutputFlags) -> Iterator[None]:
    """Let a command say what it says as the flags want it; without flags, as it is already."""
    if os.environ.get("RANK", "0") != "0":  # of several ranks the first one speaks
        flags = OutputFlags(flags.quiet)
    outer = current()
    with contextlib.ExitStack() as stack:
        records = list(outer.records)
        for path, form in ((flags.log_file, _as_line), (flags.json_log, _as_json)):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(path.open("a", encoding="utf-8", buffering=1))
                records.append(_writer(file, form))
        advice = outer.advice and flags.advice
        _consoles.append(Console(outer.quiet or flags.quiet, advice, records))
        stack.callback(_consoles.pop)
        if records and not outer.records:
            stack.enter_context(contextlib.redirect_stdout(_Copied(sys.stdout, "stdout")))
            stack.enter_context(contextlib.redirect_stderr(_Copied(sys.stderr, "stderr")))
        yield


def _writer(file: TextIO, form: Callable[[str, dict], str]) -> Callable[[str, dict], None]:
    def write(kind: str, content: dict[str, Any]) -> None:
        file.write(form(kind, content) + "\n")

    return write


def _as_line(kind: str, content: dict[str, Any]) -> str:
    text = content["text"]
    return f"{datetime.now().astimezone().isoformat(' ', 'seconds')}  {text}"


def _as_json(kind: str, content: dict[str, Any]) -> str:
    now = datetime.now().astimezone().isoformat(timespec="milliseconds")
    return json.dumps({"time": now, "event": kind, **content}, ensure_ascii=False)


class _Copied:
    """A stream whose whole lines are recorded too; all else is the stream's own."""

    def __init__(self, behind: TextIO, name: str) -> None:
        self.behind, self._name, self._line = behind, name, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.behind, name)

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if line.strip():
                current().record("line", stream=self._name, text=line.rstrip())
        return self.behind.write(text)
