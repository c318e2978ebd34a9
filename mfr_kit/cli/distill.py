"""`kit.py distill`."""

import os

from mfr_kit.cli import _next
from mfr_kit.cli._command import command
from mfr_kit.errors import Stopped
from mfr_kit.models.run_files import CONFIG
from mfr_kit.training.options import RunOptions, distill_options


def add_to(app) -> None:
    """Register the command."""
    app.command("distill", rich_help_panel="Train")(
        command(distill_options(), distill, with_config=True, resumes=CONFIG, then=_then)
    )


def distill(options: RunOptions) -> None:
    """Train a student to embed masked faces as its teacher embeds clean ones (CoupleFace, or any
    --method).

    Options marked (name) belong to that --method. A TOML file (--config) takes the same names;
    flags win. `--resume RUN` goes on with a run by the options that it began with.
    """
    if options.dry_run:
        from mfr_kit.training.dry_run import estimate

        print(estimate(options))
        return
    from mfr_kit.training.distill import distill as train
    from mfr_kit.training.preflight import holds_run

    try:
        print(f"student: {train(options)}")
    except KeyboardInterrupt:  # at once
        adding = ("--resume",) if holds_run(options.out) and not options.resume else ()
        raise Stopped(adding=adding) from None


def _then(options: RunOptions) -> _next.Words:
    if os.environ.get("RANK", "0") != "0":
        return None
    models = [options.teacher, str(options.out)]
    compared = _next.evaluate(models, options.data, options.holdout_people or [])
    return compared or _next.export(options.out)
