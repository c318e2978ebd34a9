"""`kit.py run`: from photographs to a package."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfr_kit.augment.options import AugmentOptions
from mfr_kit.cli import _next
from mfr_kit.cli._command import command
from mfr_kit.cli.split import SplitOptions
from mfr_kit.options import like, option, options_class
from mfr_kit.submission import tracks


@options_class
class PipelineOptions:
    """What is made of which photographs."""

    recipe: Path = option(
        help="TOML of distill, as configs/adapt_sface.toml.", affects="place", argument=True
    )
    photos: Path = option(
        help="Folder that holds one folder of photographs per person.",
        affects="place",
        argument=True,
    )
    out: Path = option(
        help="Folder for faces, lists, run, report, student.onnx and submission.zip; stopped, the "
        "same command goes on there.",
        affects="place",
        argument=True,
        writes="folder",
        grows=True,
    )
    track: str = option(
        _next.TRACK, help="The track that the package is for.", choices=tracks.names
    )
    ratio: float = like(AugmentOptions, "ratio", section="", default=1.0)
    val: float = like(SplitOptions, "val")
    holdout: float = like(SplitOptions, "holdout")
    seed: int = like(SplitOptions, "seed")
    steps: int | None = option(None, help="Optimiser steps, not the recipe's.", within=">=1")
    batch_size: int | None = option(None, help="Faces a step, not the recipe's.", within=">=1")


def run(options: PipelineOptions) -> None:
    """Do everything in one command: augment, split, distil, evaluate, export, check and pack, each
    by the command that it prints. Stopped at any moment, it goes on when it is called again.
    """
    from mfr_kit import pipeline
    from mfr_kit.cli import main

    parts = {"val": options.val, "holdout": options.holdout, "seed": options.seed}
    changes = {"steps": options.steps, "batch-size": options.batch_size}
    work = pipeline.Work(
        options.recipe,
        options.photos,
        options.out,
        options.track,
        options.ratio,
        split=_flags(parts),
        training=_flags(changes),
    )
    pipeline.work_through(work, main)
    print(f"\n{options.out}: student.onnx, submission.zip and report/report.html")


def _flags(values: Mapping[str, float | int | None]) -> tuple[str, ...]:
    given = {name: value for name, value in values.items() if value is not None}
    return tuple(word for name, value in given.items() for word in (f"--{name}", str(value)))


def _then(options: PipelineOptions) -> _next.Words:
    return ["verify", str(options.out / "submission.zip")]


def add_to(app: Any) -> None:
    """Register the command."""
    app.command("run", rich_help_panel="Set up")(command(PipelineOptions, run, then=_then))
