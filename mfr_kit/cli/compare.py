"""`kit.py compare`: two reports side by side."""

from pathlib import Path
from typing import Any

from mfr_kit.cli._command import command
from mfr_kit.errors import KitError
from mfr_kit.options import option, options_class
from mfr_kit.outputs import force_option


@options_class(kw_only=True)
class CompareOptions:
    """Which reports."""

    first: Path = option(
        help="report.json of `evaluate`, or its folder; its first model is the one the others are "
        "compared with.",
        affects="place",
        argument=True,
    )
    second: Path = option(
        help="Another report.json, of the same set.", affects="place", argument=True
    )
    out: Path | None = option(
        None,
        help="Folder for a report of both: HTML, JSON, CSV, Markdown and LaTeX.",
        affects="place",
        writes="folder",
    )
    force: bool = force_option()
    pdf: bool = option(
        False,
        help="With --out also report.pdf, through Chromium or Chrome, where there is one.",
    )

    def __post_init__(self) -> None:
        if self.pdf and self.out is None:
            raise KitError("--pdf prints the report: give its folder with --out")


def compare(options: CompareOptions) -> None:
    """Lay two reports of `evaluate` side by side: differences with paired intervals wherever both
    measured the same faces with the same --resamples and --seed.
    """
    from mfr_kit.evaluation.report import merged, page, pdf, text

    if options.pdf:
        pdf.find_browser()
    report, notes = merged.merge(options.first, options.second)
    print(text.text(report))
    for note in notes:
        print(note)
    if options.out:
        print(f"report: {page.write(report, options.out, options.pdf)}")


def add_to(app: Any) -> None:
    """Register the command."""
    app.command("compare", rich_help_panel="Measure")(command(CompareOptions, compare))
