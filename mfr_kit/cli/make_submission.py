"""`kit.py make-submission`: a model that keeps a track's rules, packed as the track wants it."""

from mfr_kit.cli import _next
from mfr_kit.cli._command import command
from mfr_kit.submission.options import SubmissionOptions


def add_to(app) -> None:
    app.command("make-submission", rich_help_panel="Submit")(
        command(SubmissionOptions, make_submission, then=_then)
    )


def make_submission(options: SubmissionOptions) -> None:
    """Pack a model for a track, with a manifest; refuses what `check` fails (exit 3, all
    reasons).
    """
    from mfr_kit.submission import package

    done = package.make_submission(options)
    if done.features:
        written = done.features
        resumed = f", continued at row {written.resumed_at}" if written.resumed_at else ""
        print(f"wrote {written.path}: {written.rows} x {written.embedding_size} features{resumed}")
    for note in done.notes:
        print(f"note: {note}")
    print(f"wrote {done.path}: {', '.join(done.files)}")


def _then(options: SubmissionOptions) -> _next.Words:
    return ["verify", str(options.out)]
