"""`kit.py watch`."""

from mfr_kit.cli import _next
from mfr_kit.cli._command import command
from mfr_kit.training.watch import WatchOptions


def add_to(app) -> None:
    """Register the command."""
    app.command("watch", rich_help_panel="Train")(command(WatchOptions, watch, then=_then))


def watch(options: WatchOptions) -> None:
    """Print the last lines of a run's metrics in words; --follow prints those that come."""
    from mfr_kit.training import watch as room

    for line in room.watch(options):
        print(line, flush=True)


def _then(options: WatchOptions) -> _next.Words:
    if (options.run / "student.pt").is_file():
        return _next.export(options.run)
    return ["watch", str(options.run), "--follow"]
