"""`kit.py masks list | preview | stats | gallery | harvest | render-library`."""

from mfr_kit.cli._command import command
from mfr_kit.masks.options import HarvestOptions, LibraryOptions, SheetOptions, StatsOptions


def add_to(app) -> None:
    """Register the group of commands."""
    from mfr_kit.cli._help import App

    group = App(
        help="The mask library: what there is, what it looks like, how often it is drawn.",
    )
    group.command("list")(command(LibraryOptions, list_masks))
    group.command("preview")(command(SheetOptions, preview))
    group.command("stats")(command(StatsOptions, stats))
    group.command("gallery")(command(SheetOptions, gallery))
    group.command("harvest")(command(HarvestOptions, harvest))
    group.command("render-library")(command(LibraryOptions, render_library))
    app.add_typer(group, name="masks", rich_help_panel="Data")


def list_masks(options: LibraryOptions) -> None:
    """Show every look, its kind, and its share of all drawn masks."""
    from mfr_kit.masks import summary

    print(summary.table(options.folder))


def preview(options: SheetOptions) -> None:
    """Write contact sheets into one picture: every look on the same faces, every kind over yaw,
    every kind once, and 64 random draws; --faces shows them on your own people.
    """
    from mfr_kit.masks import library
    from mfr_kit.masks import preview as sheets
    from mfr_kit.masks.sheet_faces import FaceSource

    shown = options.masks if options.masks is not None else library.names(options.folder)
    chosen_looks = library.load(shown, options.folder)
    source = FaceSource(options.faces, options.aligned, options.detect)
    how = (options.tile, options.seed)
    print(sheets.write(chosen_looks, options.out, options.sheets, source, *how))


def stats(options: StatsOptions) -> None:
    """Draw many samples and show how often each kind, look and style comes, and how its
    parameters spread.
    """
    from mfr_kit.masks import summary

    print(summary.counts(options.masks, options.folder, options.draws, options.seed))


def gallery(options: SheetOptions) -> None:
    """Write a page for the browser: every look over yaw, with its TOML beside it."""
    from mfr_kit.masks import gallery as page
    from mfr_kit.masks.sheet_faces import FaceSource

    source = FaceSource(options.faces, options.aligned, options.detect)
    path = page.write(
        options.out, options.masks, options.folder, source, options.tile, options.seed
    )
    print(path)


def harvest(options: HarvestOptions) -> None:
    """Take the masks off the faces of photographs and write them as a mask library, with a list
    of the faces that were left out and why, and contact sheets to look at.
    """
    from mfr_kit.masks.harvest import run

    print(run.harvest(options).summary())


def render_library(options: LibraryOptions) -> None:
    """Draw the texture of every recipe into textures/ beside the TOMLs; needed after a recipe
    was changed.
    """
    from mfr_kit.masks import library, texture

    for path in texture.render_all(library.looks(options.folder)):
        print(path)
