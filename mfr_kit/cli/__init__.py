"""The roof: parse, call one function, print. One command (or group of commands) a file; no logic
lives here.
"""

import os
import re
import shlex
import sys

from mfr_kit import __version__, console, interrupts, registry, system_errors
from mfr_kit.errors import KitError, Stopped

_ERRNO = re.compile(r"\[Errno \d+\] ")  # as Python words what the system said


def build_app():
    """Collect the commands: every file of this folder has an `add_to(app)` that registers its
    own.
    """
    import typer

    from mfr_kit.cli import _help

    app = _help.App(
        name=_help.program(),
        help="Align faces, put masks on them, distil a small recogniser with CoupleFace, "
        "measure it and pack the submission.",
        pretty_exceptions_enable=False,
        add_completion=_help.program() == "mfr-kit",
        context_settings={
            "help_option_names": ["-h", "--help"],
            "max_content_width": _help.WIDE,
        },
    )

    @app.callback(invoke_without_command=True)
    def root(
        version: bool = typer.Option(
            False, "--version", help="Print the version and exit.", is_eager=True
        ),
    ) -> None:
        if version:
            print(f"mfr-kit {__version__}")
            raise typer.Exit

    for name in registry.names(__name__):
        registry.get(__name__, name).add_to(app)
    return app


def _program() -> str:
    from mfr_kit.cli import _help

    return _help.program()


def _as_called(text: str) -> str:
    from mfr_kit.cli import _help

    return _help.as_called(text)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the process's exit code: 0 done, 2 mend your input, 3 a track's
    rule fails, 1 our bug.
    """
    if arguments is None:
        _use_utf8()
        interrupts.raise_on_term()
        interrupts.follow_torchrun()
    given = sys.argv[1:] if arguments is None else arguments
    _print_everything()
    try:
        words, flags = console.take_flags(given)
        with console.opened(flags):
            return _run(words, given)
    except KitError as error:
        _tell(error, given)
        return error.exit_code
    except KeyboardInterrupt:  # outside of the command, as while the commands are collected
        _tell(Stopped(), given)
        return Stopped.exit_code


def _run(words: list[str], given: list[str]) -> int:
    """Run one command, whose line was `given` before the flags of the console were taken out."""
    console.current().record("start", text=f"$ python kit.py {shlex.join(given)}", arguments=given)
    code = 0
    try:
        try:
            build_app()(args=words, prog_name=_program())
        except SystemExit as stop:  # as every command of typer ends
            if stop.code == Stopped.exit_code:  # Ctrl-C, where nobody heeded it
                raise Stopped from None
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
            if isinstance(stop.__context__, BrokenPipeError):
                raise stop.__context__ from None
        sys.stdout.flush()
    except KitError as error:
        _tell(error, given)
        code = error.exit_code
    except BrokenPipeError:  # `kit.py ... | head` is not an error of ours
        sys.stderr.close()
        code = 0
    except Exception as error:
        if _is_interrupted(error):
            raise KeyboardInterrupt from None
        line = system_errors.explain(error)
        if line is None:  # a bug of ours: its traceback says most
            raise
        print(f"error: {line}", file=sys.stderr)
        code = KitError.exit_code
    console.current().record("end", text=f"exit code {code}", exit_code=code)
    _give_up_unprinted()
    return code


def _is_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C brought an error about, as that of a library which was writing a file."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _tell(error: KitError, arguments: list[str]) -> None:
    """Print the line of an error; of a job that was stopped, on one rank, how to go on."""
    text = f"error: {_ERRNO.sub('', str(error))}"
    if isinstance(error, Stopped):
        if os.environ.get("RANK", "0") != "0":
            return
        text = str(error)
        if console.current().advice:  # a command inside another leaves that to the other
            words = shlex.join([*arguments, *error.adding])
            text = f"{text}. To go on: `python kit.py {words}`"
    print(_as_called(text), file=sys.stderr)


def _give_up_unprinted() -> None:
    """Drop what standard output does not take any more, so that Python does not try again, and
    complain, on its way out.
    """
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _use_utf8() -> None:
    """Start this process again in Python's UTF-8 mode where the locale has no UTF-8: names of
    files would be no text there.
    """
    if sys.getfilesystemencoding() != "utf-8" and "PYTHONUTF8_TRIED" not in os.environ:
        environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONUTF8_TRIED": "1"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _print_everything() -> None:
    """Let no name end a command where it is printed: what a pipe's or terminal's encoding lacks
    is escaped.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
