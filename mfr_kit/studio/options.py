"""What `kit.py studio` can be told (light: imported for `--help`)."""

from pathlib import Path

from mfr_kit.options import option, options_class


@options_class
class StudioOptions:
    """Options of `kit.py studio`."""

    folders: list[Path] | None = option(
        None,
        help="Face sets, runs and reports to show, or folders that hold such. Nothing else is "
        "served.",
        affects="place",
        argument=True,
    )
    model: list[str] | None = option(
        None,
        help="Recogniser to compare photographs under, may be repeated: an asset, an .onnx file "
        "(FILE:NORMALISATION), weights or a run folder. Runs and .onnx files in FOLDERS, and "
        "sface where it is there, can be chosen anyway.",
        affects="place",
    )
    port: int = option(8112, help="0 takes one that is free.", within="0..65535", affects="machine")
    host: str = option(
        "127.0.0.1",
        help="Address to listen on; by default this machine alone can reach the page.",
        affects="machine",
    )
    open: bool = option(False, help="Open the page in the browser.", affects="machine")
    max_upload_mib: int = option(
        32, help="Largest photograph in MiB that is taken.", within="1..1024", affects="machine"
    )
    threads: int = option(
        0, help="CPU threads of a model, 0 for all.", within=">=0", affects="machine"
    )
