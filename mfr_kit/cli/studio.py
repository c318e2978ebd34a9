"""`kit.py studio`: a page to look and try in."""

from typing import Any

from mfr_kit.cli._command import command
from mfr_kit.studio.options import StudioOptions


def add_to(app: Any) -> None:
    """Register the command."""
    app.command("studio", rich_help_panel="Measure")(command(StudioOptions, studio))


def studio(options: StudioOptions) -> None:
    """Serve a page for the browser: look at face sets, try masks on a photograph or the webcam,
    compare two photographs under several models, open reports and curves. Nothing leaves this
    machine.
    """
    from mfr_kit.studio.server import serve

    serve(options)
