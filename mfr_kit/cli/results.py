"""`kit.py results`."""

from mfr_kit.ablation.options import ResultsOptions
from mfr_kit.cli._command import command


def add_to(app) -> None:
    """Register the command."""
    app.command("results", rich_help_panel="Train")(command(ResultsOptions, results))


def results(options: ResultsOptions) -> None:
    """Write the page of tables and plots from the records of `kit.py ablate`; no number of it is
    typed by hand.
    """
    from mfr_kit.ablation.results import write

    print(write(options.records, options.out, options.readme))
