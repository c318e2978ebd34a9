"""What the `kit.py masks` commands let the user choose (light: imported for `--help`)."""

from pathlib import Path

from mfr_kit.errors import KitError
from mfr_kit.options import option, options_class
from mfr_kit.outputs import Output, force_option


@options_class
class LibraryOptions:
    """Options of `kit.py masks list` and `render-library`."""

    folder: Path | None = option(None, help="Folder of masks; by default the kit's own masks/.")


@options_class
class SheetOptions:
    """Options of `kit.py masks preview` and `gallery`."""

    out: Path = option(
        help="Where to write: a .png or .jpg (preview), or a folder (gallery).",
        affects="place",
        argument=True,
        reads=(),
    )
    force: bool = force_option()
    masks: list[str] | None = option(
        None, help="Looks or kinds to show (repeat the flag); by default all of them."
    )
    folder: Path | None = option(None, help="Folder of masks; by default the kit's own masks/.")
    faces: Path | None = option(
        None,
        help="Face set, or folder of photographs (searched through), to draw on, a person at a "
        "time; by default heads that the kit draws itself.",
        affects="place",
    )
    aligned: bool = option(
        False,
        help="The faces are aligned 112x112 crops: use the template's landmarks, no detector.",
    )
    detect: bool = option(
        False, help="With --aligned: look for better landmarks than the template's."
    )
    sheets: list[str] | None = option(
        None,
        help="Sheets to write (preview; repeat the flag): looks, yaw, kinds or random, one below "
        "the other; by default all.",
    )
    seed: int = option(0, help="Same seed, same sheet.", within=">=0")
    tile: int = option(160, help="Side of a picture on the sheet in pixels.", within="64..512")

    def __post_init__(self) -> None:
        if self.detect and not self.aligned:
            raise KitError(
                "--detect only makes sense with --aligned: photographs are detected in anyway"
            )

    def outputs(self) -> list[Output]:
        """A preview's picture or a gallery's page, whichever is there."""
        found = (self.out, self.out / "index.html")
        return [Output(path, "file", "OUT") for path in found if path.is_file()]


@options_class
class StatsOptions:
    """Options of `kit.py masks stats`."""

    masks: list[str] | None = option(
        None, help="Looks or kinds to draw from (repeat the flag); by default the whole mix."
    )
    folder: Path | None = option(None, help="Folder of masks; by default the kit's own masks/.")
    draws: int = option(10000, help="Samples to draw and count.", within=">=1")
    seed: int = option(0, help="Same seed, same draws.", within=">=0")


@options_class
class HarvestOptions:
    """Options of `kit.py masks harvest`."""

    photos: Path = option(
        help="Folder of photographs of people with masks (searched through).",
        affects="place",
        argument=True,
    )
    out: Path = option(
        help="Folder to write: a mask library, harvest.csv and sheets/.",
        affects="place",
        argument=True,
        writes="folder",
    )
    kit_share: float = option(
        0.0,
        help="Copy the kit's own masks beside the harvested ones, to be drawn with this share; "
        "0 leaves them out.",
        within="0..0.99",
    )
    licence: str = option(
        "that of the photograph",
        help="What the TOML of every look says of its licence.",
    )
