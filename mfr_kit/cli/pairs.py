"""`kit.py pairs`: verification pairs, packed, unpacked and counted."""

from pathlib import Path
from typing import Any

from mfr_kit.cli import _next
from mfr_kit.cli._command import command
from mfr_kit.data.named_files import NamedFileOptions
from mfr_kit.options import like, option, options_class
from mfr_kit.paths import refuse_existing


@options_class(kw_only=True)
class ShowOptions:
    """Which pairs."""

    src: Path = option(
        help="Pairs: .bin, LFW's pairs.txt, or a .csv left,right,same[,left_masked,right_masked].",
        affects="place",
        argument=True,
    )
    images: Path | None = option(
        None,
        help="Folder or face set that a text file's names are relative to; default: the "
        "file's folder.",
        affects="place",
    )
    allow_outside: bool = like(NamedFileOptions, "allow_outside")


@options_class(kw_only=True)
class PackOptions(ShowOptions):
    """What to pack, and where to."""

    dst: Path = option(
        help="Verification set to write, *.bin.", affects="place", argument=True, writes="file"
    )
    any_size: bool = option(
        False, help="Allow images that are not 112x112 (others' tools will resize or refuse them)."
    )


@options_class(kw_only=True)
class UnpackOptions(ShowOptions):
    """What to unpack, and where to."""

    dst: Path = option(
        help="Folder to write: the images and pairs.csv.",
        affects="place",
        argument=True,
        writes="folder",
    )


def pack(options: PackOptions) -> None:
    """Write pairs of images as one verification .bin, image bytes unchanged."""
    from mfr_kit.data.verification_sets.pairs import open_pairs, pack_pairs

    refuse_existing(options.dst)
    pairs = open_pairs(options.src, options.images, allow_outside=options.allow_outside)
    count = pack_pairs(pairs, options.dst, options.any_size)
    print(f"{options.dst}: {count} pairs, read back equal")


def unpack(options: UnpackOptions) -> None:
    """Write a verification .bin as a folder of images and a pairs.csv."""
    from mfr_kit.data.verification_sets.pairs import open_pairs, unpack_pairs

    pairs = open_pairs(options.src, options.images, allow_outside=options.allow_outside)
    count = unpack_pairs(pairs, options.dst)
    print(f"{options.dst / 'pairs.csv'}: {count} pairs")


def show(options: ShowOptions) -> None:
    """Count the pairs and look at every image."""
    from mfr_kit.data.verification_sets.pairs import open_pairs

    pairs = open_pairs(options.src, options.images, allow_outside=options.allow_outside)
    shape: tuple[int, ...] = ()
    for faces in pairs.batches(64):
        shape = faces.shape[1:]
    same = int(pairs.same.sum())
    masked = (
        ""
        if pairs.left_masked is None
        else f", {int((pairs.left_masked | pairs.right_masked).sum())} with a mask"
    )
    print(
        f"{len(pairs)} pairs ({same} same, {len(pairs) - same} different{masked}) of "
        f"{len(pairs.names)} images, {shape[1]}x{shape[0]}"
    )


def _measure(options: PackOptions) -> _next.Words:
    return ["evaluate", "sface", "--bin", str(options.dst)]


def _show(options: UnpackOptions) -> _next.Words:
    return ["pairs", "show", str(options.dst / "pairs.csv")]


def add_to(app: Any) -> None:
    """Register the group."""
    from mfr_kit.cli._help import App

    group = App(help="Verification pairs: pack, unpack, show.")
    group.command("pack")(command(PackOptions, pack, then=_measure))
    group.command("unpack")(command(UnpackOptions, unpack, then=_show))
    group.command("show")(command(ShowOptions, show))
    app.add_typer(group, name="pairs", rich_help_panel="Data")
