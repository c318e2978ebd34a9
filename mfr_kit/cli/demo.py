"""`kit.py demo`."""

from mfr_kit.options import command
from mfr_kit.pipelines.options import DemoOptions


def add_to(app) -> None:
    """Register the command."""
    app.command("demo", rich_help_panel="Set up")(command(DemoOptions, demo))


def demo(options: DemoOptions) -> None:
    """Do the main job on the embedded ORL faces: augment, distil, export, check, evaluate, pack; under five minutes."""
    from mfr_kit.cli import main
    from mfr_kit.pipelines import demo as room

    print(room.demo(options, main))
