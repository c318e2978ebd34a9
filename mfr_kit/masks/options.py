"""What the `kit.py masks` commands let the user choose (light: imported for `--help`)."""

from dataclasses import dataclass
from pathlib import Path

from mfr_kit.errors import KitError
from mfr_kit.options import option


@dataclass(frozen=True)
class LibraryOptions:
    """Options of `kit.py masks list` and `render-library`."""

    folder: Path | None = option(None, help="Folder of masks; by default the kit's own masks/.")


@dataclass(frozen=True)
class SheetOptions:
    """Options of `kit.py masks preview` and `gallery`."""

    out: Path = option(
        argument=True,
        help="Where to write: a .png or .jpg (preview; one file a sheet), or a folder (gallery).",
    )
    masks: list[str] | None = option(
        None, help="Looks or kinds to show (repeat the flag); by default all of them."
    )
    folder: Path | None = option(None, help="Folder of masks; by default the kit's own masks/.")
    faces: Path | None = option(
        None,
        help="Folder of photographs (searched through) to draw on; by default heads that the "
        "kit draws "
        "itself.",
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
        help="Sheets to write (preview; repeat the flag): looks, yaw, kinds or random; by default "
        "all. A single one is written to OUT itself.",
    )
    seed: int = option(0, help="Same seed, same sheet; 0 or more.")
    tile: int = option(160, help="Side of a picture on the sheet in pixels, 64..512.")

    def __post_init__(self) -> None:
        _refuse_negative(self.seed)
        if not 64 <= self.tile <= 512:
            raise KitError(f"--tile is a side in pixels between 64 and 512, not {self.tile}")
        if self.detect and not self.aligned:
            raise KitError(
                "--detect only makes sense with --aligned: photographs are detected in anyway"
            )


@dataclass(frozen=True)
class StatsOptions:
    """Options of `kit.py masks stats`."""

    masks: list[str] | None = option(
        None, help="Looks or kinds to draw from (repeat the flag); by default the whole mix."
    )
    folder: Path | None = option(None, help="Folder of masks; by default the kit's own masks/.")
    draws: int = option(10000, help="Samples to draw and count, 1 or more.")
    seed: int = option(0, help="Same seed, same draws; 0 or more.")

    def __post_init__(self) -> None:
        _refuse_negative(self.seed)
        if self.draws < 1:
            raise KitError(f"--draws must be 1 or more, not {self.draws}")


def _refuse_negative(seed: int) -> None:
    if seed < 0:
        raise KitError(f"--seed must be 0 or more, not {seed}")
