"""`kit.py demo`."""

from mfr_kit.augment.options import DemoOptions
from mfr_kit.cli._command import command


def add_to(app) -> None:
    """Register the command."""
    app.command("demo", rich_help_panel="Set up")(command(DemoOptions, demo))


def demo(options: DemoOptions) -> None:
    """Do the main job on the embedded ORL faces: augment, distil, export, check, evaluate, pack;
    under five minutes.
    """
    from mfr_kit import demo as room
    from mfr_kit.cli import main

    print(room.demo(options.out, options.steps, main))
