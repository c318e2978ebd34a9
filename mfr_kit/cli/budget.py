"""`kit.py budget`: which backbones a track has time and room for."""

from mfr_kit.cli._command import command
from mfr_kit.submission.options import BudgetOptions


def add_to(app) -> None:
    page = command(BudgetOptions, budget)
    app.command("budget", rich_help_panel="Submit")(page)
    app.command("fit", hidden=True)(page)  # the former name


def budget(options: BudgetOptions) -> None:
    """List backbones by depth and width with estimated V100 time and size, and name the largest
    that a track allows.
    """
    import dataclasses
    import json

    from mfr_kit.submission.budget import candidate_of, candidates, largest

    if options.table:
        from mfr_kit.submission import survey

        surveyed = survey.survey()
        survey.write_markdown(options.table, surveyed)
        print(f"wrote {options.table}: {len(surveyed)} backbones")
        return
    assert options.track is not None  # asked for without --table
    found = candidates(options.track)
    best = largest(found)
    if options.model is not None:
        found.append(candidate_of(options.model, options.track))
    if options.json:
        print(
            json.dumps(
                {
                    "candidates": [dataclasses.asdict(candidate) for candidate in found],
                    "largest": best and dataclasses.asdict(best),
                },
                indent=2,
            )
        )
        return
    print(
        f"{'backbone':16}{'width':>6}{'D':>6}{'MiB':>9}{'GMAC':>9}{'est. ms on V100':>18}  verdict"
    )
    for candidate in found:
        times = f"{candidate.time_low_ms:.1f} to {candidate.time_high_ms:.1f}"
        verdict = f"too much {' and '.join(candidate.fails)}" if candidate.fails else "fits"
        print(
            f"{candidate.backbone:16}{candidate.width:6g}{candidate.embedding_size:6}{candidate.size_mib:9.1f}"
            f"{candidate.multiply_adds / 1e9:9.2f}{times:>18}  {verdict}"
        )
    print(
        "Times are estimates from four published IResNet times (by work, by number of nodes), "
        "not measurements."
    )
    print(
        f"Largest that fits {options.track}: {best.backbone} at width {best.width:g}"
        if best
        else f"Nothing fits {options.track}."
    )
