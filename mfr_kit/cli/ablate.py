"""`kit.py ablate`."""

from pathlib import Path

from mfr_kit.ablation.options import AblateOptions
from mfr_kit.cli import _next
from mfr_kit.cli._command import command


def add_to(app) -> None:
    """Register the command."""
    app.command("ablate", rich_help_panel="Train")(command(AblateOptions, ablate, then=_then))


def ablate(options: AblateOptions) -> None:
    """Train and measure a table of settings over several seeds; stopped at any moment, the same
    command goes on.

    Every finished cell is one JSON in --records; `kit.py results` makes the page of them.
    """
    from mfr_kit.ablation.ablate import ablate as run

    print(run(options))


def _then(options: AblateOptions) -> _next.Words:
    out = _next.free(Path("results.md"))
    return ["results", "--records", str(options.records), "--out", out]
