"""Options of `kit.py average`."""

from pathlib import Path

from mfr_kit.options import option, options_class


@options_class
class AverageOptions:
    """Which runs `kit.py average` takes, and where their mean goes."""

    runs: list[Path] = option(
        help="Run folders (or weights files in them) of one architecture and one start.",
        affects="place",
        argument=True,
    )
    out: Path = option(help="Run folder to write.", affects="place", writes="folder")
    weight_share: float = option(
        1.0,
        help="Share of the way from the runs' initial weights to their mean; 1 is the mean.",
        within="0..1",
        formerly="keep",
    )
