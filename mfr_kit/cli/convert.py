"""`kit.py convert`: a training set into another format."""

from pathlib import Path
from typing import Annotated, Any

from mfr_kit import registry
from mfr_kit.cli import _next
from mfr_kit.cli._command import help_of
from mfr_kit.data.named_files import NamedFileOptions
from mfr_kit.paths import url_of


def add_to(app: Any) -> None:
    """Register the command. Its flag `--from` is a word of Python's, so no options dataclass can
    have it as a field.
    """
    import typer

    outside = NamedFileOptions.__dataclass_fields__["allow_outside"]
    known = ", ".join(registry.names("mfr_kit.data.formats"))

    @app.command("convert", rich_help_panel="Data")
    def convert(
        src: Annotated[
            Path,
            typer.Argument(
                help="Training set: folder of people, .rec, image list, face set, WebDataset's "
                ".tar or Hugging Face's .parquet (or a folder or 'pattern-*' of them). Of "
                "a .rec or face set also an s3://, gs:// or https:// URL."
            ),
        ],
        dst: Annotated[
            Path,
            typer.Argument(
                help="New set: .rec, .txt, .lst, .tar or .parquet tell the format, a name without "
                "suffix is a folder."
            ),
        ],
        read_as: Annotated[
            str | None,
            typer.Option("--from", help=f"Format of SRC where it does not tell: {known}."),
        ] = None,
        write_as: Annotated[
            str | None,
            typer.Option(
                "--to",
                "--format",
                help=f"Format of DST where its name does not tell: {known}, or rec.",
            ),
        ] = None,
        twins: Annotated[
            str | None,
            typer.Option(
                help="Masked twins of a face set: keep (marked as masked) or drop; by default "
                "face sets keep them, "
                "other formats drop them."
            ),
        ] = None,
        level: Annotated[
            int | None,
            typer.Option(
                min=0,
                max=5,
                help="Folder levels above a person's folder, where SRC is a folder: 1 for "
                "SRC/*/PERSON.",
            ),
        ] = None,
        allow_outside: Annotated[bool, typer.Option(help=help_of(outside))] = False,
    ) -> None:
        """Copy a training set into another format, image bytes unchanged, and prove it by
        decoding, count and hash.
        """
        from mfr_kit.data.convert import convert as run

        proof = run(src, dst, read_as, write_as, twins, level, print, allow_outside)
        print(f"{url_of(src) or src} ({proof.read_as}) -> {dst} ({proof.written_as})")
        if proof.twins_dropped:
            print(
                f"{proof.twins_dropped} masked twins dropped (--twins keep takes them along, "
                "marked as masked)"
            )
        if proof.skipped:
            print(f"{proof.skipped} files left out, each with its reason: {proof.skipped_list}")
        if proof.masked:
            print(f"{proof.masked} of the faces are masked, and read back as masked")
        print(
            f"read back equal: {proof.photographs} photographs, {proof.people} people, digest "
            f"{proof.digest}"
        )
        _next.advise(_next.split(dst) if proof.written_as.startswith("face-set") else None)
