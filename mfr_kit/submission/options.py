"""The options of the commands that take a model out of the door."""

from dataclasses import dataclass
from pathlib import Path

from mfr_kit import registry
from mfr_kit.errors import KitError
from mfr_kit.options import option
from mfr_kit.submission import tracks

FORMATS = "mfr_kit.submission.features"


def formats() -> list[str]:
    """The feature formats: the files of submission/features/."""
    return registry.names(FORMATS)


@dataclass(frozen=True)
class ExportOptions:
    run: Path = option(
        argument=True,
        help="Run folder of `kit.py distill`, or a weights file inside it (runs/x/best.pt).",
    )
    out: Path | None = option(
        None, writes="file", help="The ONNX file to write; default: model.onnx in the run folder."
    )
    opset: int = option(11, help="ONNX opset, 11 to 13.")
    faces: Path | None = option(
        None,
        help="Face set, or text file of aligned images, to compare torch and the file on (first "
        "256).",
    )
    runs_on: str = option(
        "gpu",
        choices=lambda: ["gpu", "cpu"],
        help="cpu: PReLU is written as sums, the same function, which onnxruntime runs about "
        "twice as fast on a CPU. "
        "gpu: it stays one operation.",
    )
    edge: str | None = option(
        None,
        choices=lambda: ["float16", "int8"],
        help="Write a smaller file beside it too, and measure its cost on --faces (default: the "
        "ORL "
        "faces).",
    )


@dataclass(frozen=True)
class CheckOptions:
    model: Path = option(argument=True, help="The .onnx file.")
    track: str = option(choices=tracks.names, help="The track whose rules are applied.")
    run: Path | None = option(
        None, help="Run folder it came from: the file must agree with it on colour faces."
    )
    json: bool = option(False, help="Print JSON instead of a table.")
    latency: bool = option(True, help="Time the model here (advisory).")


@dataclass(frozen=True)
class SubmissionOptions:
    model: Path = option(argument=True, help="The .onnx file.")
    track: str = option(choices=tracks.names, help="The track it is packed for.")
    out: Path = option(writes="file", help="The .zip to write.")
    run: Path | None = option(
        None,
        help="Run folder it came from: its config, lineage and metrics are packed for a rerun.",
    )
    report: Path | None = option(
        None, help="JSON report of `kit.py evaluate`; goes into the manifest."
    )
    features: Path | None = option(
        None,
        help="Text file of aligned images, one a line, or a face set: write their embeddings too.",
    )
    format: str | None = option(
        None, choices=formats, help="Format of the embeddings; default: the track's, else npy."
    )
    detector: Path | None = option(
        None,
        help="Face detector (.onnx) for tracks that pack the whole pipeline; default: asset yunet.",
    )

    def __post_init__(self) -> None:
        if self.format and not self.features:
            raise KitError(
                "--format says how to write embeddings, but --features does not say of what: add "
                "--features LIST"
            )
        if self.out.suffix != ".zip":
            raise KitError(f"--out {self.out}: a submission is a .zip")


@dataclass(frozen=True)
class VerifyOptions:
    package: Path = option(argument=True, help="A .zip written by `kit.py make-submission`.")
    json: bool = option(False, help="Print JSON instead of a table.")


@dataclass(frozen=True)
class FitOptions:
    track: str | None = option(
        None, choices=tracks.names, help="The track whose time and size must be met."
    )
    table: Path | None = option(
        None, writes="file", help="Markdown file to write instead: every backbone on every track."
    )
    json: bool = option(False, help="Print JSON instead of a table.")

    def __post_init__(self) -> None:
        if (self.track is None) == (self.table is None):
            raise KitError(
                "give --track for the backbones of one track, or --table FILE.md for every "
                "backbone on every track"
            )
        if self.table and self.json:
            raise KitError(
                "--json prints what --track finds; --table writes Markdown: leave one of them out"
            )
        if self.table and self.table.suffix != ".md":
            raise KitError(f"--table {self.table}: the table is Markdown, a .md")
