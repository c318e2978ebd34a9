"""`kit.py doctor`."""

from typing import Any

from mfr_kit.cli._command import command
from mfr_kit.options import option, options_class


@options_class
class DoctorOptions:
    """How closely to look."""

    speed: bool = option(
        True, help="Time a detection, an embedding and a mask: some seconds.", affects="machine"
    )


def add_to(app: Any) -> None:
    """Register the command."""
    app.command("doctor", rich_help_panel="Set up")(
        command(DoctorOptions, doctor, then=lambda options: ["demo"])
    )


def doctor(options: DoctorOptions) -> None:
    """Say what this machine has for the kit: versions, cores, memory, disk, devices, models; what
    is missing, and what is slow and why.
    """
    from mfr_kit import doctor as room

    for line in room.examine(options.speed):
        print(line, flush=True)
