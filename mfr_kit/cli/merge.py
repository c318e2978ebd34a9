"""`kit.py merge`: several face sets as one."""

from pathlib import Path
from typing import Any

from mfr_kit.cli import _next
from mfr_kit.cli._command import command
from mfr_kit.clustering.options import ClusterOptions
from mfr_kit.options import like, option, options_class


@options_class(kw_only=True)
class MergeOptions:
    """Which sets, and where the whole goes."""

    src: list[Path] = option(
        help="Face sets of different people; no name may be in two of them.",
        affects="place",
        argument=True,
    )
    out: Path = option(help="Face set to write.", affects="place", writes="folder")
    format: str = like(ClusterOptions, "format", section="Options")


def merge(options: MergeOptions) -> None:
    """Make one face set of several, for training on all of them: LFW beside unlabelled faces that
    `cluster` gave identities, say. Images are copied byte for byte.
    """
    from mfr_kit.data.merge import merge as run

    faces, people = run(options.src, options.out, options.format == "rec")
    print(f"{options.out}: {faces:,} faces of {people:,} people, read back equal")


def _then(options: MergeOptions) -> _next.Words:
    return _next.split(options.out)


def add_to(app: Any) -> None:
    """Register the command."""
    app.command("merge", rich_help_panel="Data")(command(MergeOptions, merge, then=_then))
