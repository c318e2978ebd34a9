"""`kit.py average`."""

from mfr_kit.cli import _next
from mfr_kit.cli._command import command
from mfr_kit.training.average_options import AverageOptions


def add_to(app) -> None:
    """Register the command."""
    app.command("average", rich_help_panel="Train")(command(AverageOptions, average, then=_then))


def average(options: AverageOptions) -> None:
    """Average the students of several runs in weight space, or take one back towards its start
    with --weight-share.
    """
    from mfr_kit.training.average import average as run

    print(f"student: {run(options)}")


def _then(options: AverageOptions) -> _next.Words:
    return _next.export(options.out)
