"""`kit.py check`: every rule of a track, with margins."""

from mfr_kit.cli import _next
from mfr_kit.cli._command import command
from mfr_kit.errors import RuleError
from mfr_kit.submission.options import CheckOptions


def add_to(app) -> None:
    app.command("check", rich_help_panel="Submit")(command(CheckOptions, check, then=_then))


def check(options: CheckOptions) -> None:
    """Hold an ONNX model against every rule of a challenge track: limit, found, margin, verdict.
    Exits 3 where a rule fails.
    """
    from mfr_kit.submission import check as checks
    from mfr_kit.submission.examination import check_apart

    rows = check_apart(
        options.model,
        options.track,
        options.run,
        options.latency,
        options.limit_s,
        options.limit_mib,
    )
    print(
        checks.to_json(options.model, options.track, rows) if options.json else checks.table(rows)
    )
    broken = checks.failures(rows)
    if broken:
        raise RuleError(
            f"{options.model} breaks {len(broken)} rule(s) of track {options.track}: "
            f"{', '.join(row.rule for row in broken)}"
        )
    if not options.json:
        print(f"\n{options.model} keeps every rule of track {options.track}.")


def _then(options: CheckOptions) -> _next.Words:
    return _next.pack(options.model, options.run, options.track)
