"""`kit.py views`: a second view of every bare face."""

from pathlib import Path
from typing import Any

from mfr_kit.cli._command import command
from mfr_kit.data.lists import ListOptions
from mfr_kit.options import option, options_class


@options_class(kw_only=True)
class ViewsOptions(ListOptions):
    """Which faces, and how they are viewed."""

    src: Path = option(help="Face set.", affects="place", argument=True)
    dst: Path = option(
        help="Face set to write: the bare faces as they are, and a view of each.",
        affects="place",
        argument=True,
        writes="folder",
    )
    people: Path | None = option(
        None, help="List of names, one a line: only these people.", affects="place"
    )
    drift_clean: float = option(
        1.0,
        help="Alignment drift of clean faces, as a factor on the kit's constants.",
        within=">=0",
        formerly="drift",
    )
    photometric: float = option(
        1.0,
        help="Probability factor of brightness, colour, blur, noise and compression; 0 for none.",
        within=">=0",
    )
    degrade: float = option(
        1.0,
        help="Probability that a view is degraded: cut off, shrunk to 20-60 pixels, JPEG 20-60, "
        "blurred, grey.",
        within="0..1",
    )
    seed: int = option(0, help="Of the views.", within=">=0")
    format: str = option(
        "folder",
        help="Images as files below DST/faces, or as records in InsightFace's .rec files.",
        choices=lambda: ["folder", "rec"],
    )


def views(options: ViewsOptions) -> None:
    """Make of an unlabelled face set one that models can be measured on: every bare face with a
    second view of it (drifted, in other light, degraded), which is to find it again.
    """
    from mfr_kit.data import lists
    from mfr_kit.data.face_set.faceset import FaceSet
    from mfr_kit.training.views.second_views import write_second_views
    from mfr_kit.training.views.view import ViewRecipe

    faces = FaceSet.open(options.src)
    if options.people is not None:
        choice = faces.chosen(options.people, "--people", options.allow_unknown)
        faces = faces.of_people(choice.found)
        lists.echo("people", [choice], f"{len(faces):,} faces")
    recipe = ViewRecipe(
        mask_ratio=0.0,
        drift_clean=options.drift_clean,
        photometric=options.photometric,
        degrade=options.degrade,
    )
    count = write_second_views(options.dst, faces, recipe, options.seed, options.format == "rec")
    print(f"{options.dst}: {count:,} faces of {faces.identity_count:,} people, a view of each")


def add_to(app: Any) -> None:
    """Register the command."""
    app.command("views", rich_help_panel="Data")(command(ViewsOptions, views))
