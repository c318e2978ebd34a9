"""`kit.py evaluate`."""

from pathlib import Path

from mfr_kit.cli import _next
from mfr_kit.cli._command import command
from mfr_kit.evaluation.options import EvaluateOptions


def add_to(app) -> None:
    """Register the command."""
    app.command("evaluate", rich_help_panel="Measure")(
        command(EvaluateOptions, evaluate, then=_then)
    )


def evaluate(options: EvaluateOptions) -> None:
    """Measure models on a face set (or on verification sets, --bin): TAR at FAR masked and
    unmasked, with intervals, side by side.

    The first model is the one the others are compared with. Faces that were not found count as
    non-matches.
    """
    from mfr_kit.models.trial import try_models

    try_models(
        [*options.models, *filter(None, [options.gallery])],
        options.limit_s,
        options.limit_mib,
        options.normalisation,
        options.output,
    )
    if options.dry_run:
        from mfr_kit.evaluation.dry_run import estimate

        print(estimate(options))
        return
    from mfr_kit.evaluation import run
    from mfr_kit.evaluation.report import page, pdf, text

    if options.pdf:
        pdf.find_browser()
    result = run.evaluate(options).to_dict()
    print(text.text(result))
    if options.out:
        print(f"report: {page.write(result, options.out, options.pdf)}")


def _then(options: EvaluateOptions) -> _next.Words:
    """A run that was measured is written as ONNX, an ONNX file held against a track's rules."""
    last = Path(options.models[-1])
    if last.is_dir():
        return _next.export(last, options.out / "report.json" if options.out else None)
    return _next.check(last) if last.suffix == ".onnx" and last.is_file() else None
