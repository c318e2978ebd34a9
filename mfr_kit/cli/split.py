"""`kit.py split`: lists of people to train, choose and report on."""

from pathlib import Path
from typing import Any

from mfr_kit.cli import _next
from mfr_kit.cli._command import command
from mfr_kit.options import option, options_class


@options_class(kw_only=True)
class SplitOptions:
    """Which set, and how large the parts are."""

    src: Path = option(help="Face set.", affects="place", argument=True)
    dst: Path = option(
        help="Folder to write: train.txt, val.txt and holdout.txt.",
        affects="place",
        argument=True,
        writes="folder",
        grows=True,
    )
    val: float = option(0.1, help="Share of the people to choose settings on.", within="0..<1")
    holdout: float = option(0.2, help="Share of the people to report on.", within="0..<1")
    seed: int = option(0, help="Of the division.", within=">=0")


def split(options: SplitOptions) -> None:
    """Divide the people of a face set into lists for --train-people, --val-people and
    --holdout-people, alike in how many photographs a person has.
    """
    from mfr_kit.data.face_set.faceset import FaceSet
    from mfr_kit.evaluation import split as parts_of

    parts = parts_of.split(FaceSet.open(options.src), options.val, options.holdout, options.seed)
    paths = parts_of.write_lists(parts, options.dst)
    print(parts_of.describe(parts))
    print(f"\nwrote {', '.join(map(str, paths))}")


def _then(options: SplitOptions) -> _next.Words:
    return _next.distill(options.src, options.dst)


def add_to(app: Any) -> None:
    """Register the command."""
    app.command("split", rich_help_panel="Data")(command(SplitOptions, split, then=_then))
