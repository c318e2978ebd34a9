"""`kit.py adapt`."""

from mfr_kit.adapt.options import AdaptOptions
from mfr_kit.cli import _next
from mfr_kit.cli._command import command


def add_to(app) -> None:
    """Register the command."""
    app.command("adapt", rich_help_panel="Train")(
        command(AdaptOptions, adapt, with_config=True, then=_then)
    )


def adapt(options: AdaptOptions) -> None:
    """Adapt any recogniser to masks by a small network behind it; the recogniser's own weights stay
    as they are.

    Where the recogniser's weights load into one of the kit's networks, `distill --init teacher`
    trains all of it: docs/guides/adapting.md.
    """
    from mfr_kit.adapt.run import adapt as run

    done = run(options)
    if done.epoch == 0:
        print(
            "no epoch was better than the recogniser on the validation people: the adapter "
            "changes nothing"
        )
    elif options.val_people:
        print(f"kept epoch {done.epoch}")
    print(
        f"parity with recogniser and adapter one after the other: {done.parity:.1e} of the "
        "largest value"
    )
    print(f"student: {done.path}")


def _then(options: AdaptOptions) -> _next.Words:
    student = options.out / "student.onnx"
    models = [options.teacher, str(student)]
    compared = _next.evaluate(models, options.data, options.holdout_people or [])
    return compared or _next.check(student, options.out)
