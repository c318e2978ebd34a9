"""`kit.py verify`: a package, opened as a stranger would."""

from mfr_kit.cli._command import command
from mfr_kit.errors import RuleError
from mfr_kit.submission.options import VerifyOptions


def add_to(app) -> None:
    app.command("verify", rich_help_panel="Submit")(command(VerifyOptions, verify))


def verify(options: VerifyOptions) -> None:
    """Open a package as a stranger would and run every check on it again. Exits 3 where one
    fails. With --rerun PHOTOS the training is repeated too.
    """
    from mfr_kit.submission import check
    from mfr_kit.submission.examination import verify_apart

    rows = verify_apart(options.package, options.limit_s, options.limit_mib)
    print(check.to_json(options.package, "as packed", rows) if options.json else check.table(rows))
    broken = check.failures(rows)
    if broken:
        raise RuleError(
            f"{options.package} fails {len(broken)} check(s): "
            f"{', '.join(row.rule for row in broken)}"
        )
    if not options.json:
        print(f"\n{options.package} is sound.")
    if options.rerun is not None:
        from mfr_kit.submission.rerun_job import run

        stem = options.package.with_suffix("")
        out = options.out or stem.with_name(f"{stem.name}-rerun")
        print(check.table(run(options.package, options.rerun, out)))
