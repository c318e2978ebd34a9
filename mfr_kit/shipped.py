"""Where the data folders lie that come with the kit: masks, tracks and recipes."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
INSTALLED = PACKAGE / "shipped_data"  # made by the wheel's build, absent in a checkout


def folder(name: str) -> Path:
    """Return a data folder of the kit: the checkout's own, or the copy inside an installed package.

    Args:
        name: "masks", "submission" or "configs".
    """
    root = INSTALLED if INSTALLED.is_dir() else PACKAGE.parent
    return root / name
