"""`kit.py augment`."""

from mfr_kit.augment.options import AugmentOptions
from mfr_kit.cli import _next
from mfr_kit.cli._command import command


def add_to(app) -> None:
    """Register the command."""
    app.command("augment", rich_help_panel="Data")(command(AugmentOptions, augment, then=_then))


def augment(options: AugmentOptions) -> None:
    """Detect, align and mask: make a face set of a folder of people's folders.

    The clean face is always there; --ratio says how many get a masked twin beside it.
    """
    from mfr_kit.augment import dry_run, run

    if options.dry_run:
        print(dry_run.estimate(options))
        return
    if options.shard is not None:
        print(run.augment_shard(options, print))
        return
    done = run.augment(options, print)
    made = f"{done.counts['faces']} faces, {done.counts['twins']} masked twins"
    print(f"{options.dst}: {made} in {done.seconds:.1f} s ({done.faces_per_second:.0f} faces/s)")
    if done.counts["skipped"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(done.reasons.items()))
        print(
            f"skipped {done.counts['skipped']}: {reasons}; each is listed in "
            f"{options.dst / 'skipped.csv'}"
        )
    for line in done.note_lines:
        print(line)
    if done.hint:
        print(done.hint)
    if done.changed:
        print(done.changed)


def _then(options: AugmentOptions) -> _next.Words:
    return None if options.shard is not None else _next.split(options.dst)
