"""The options of the commands that take a model out of the door."""

from pathlib import Path

from mfr_kit import registry
from mfr_kit.data.named_files import NamedFileOptions
from mfr_kit.errors import KitError
from mfr_kit.limited_process import LimitOptions
from mfr_kit.models.options import RecogniserOptions
from mfr_kit.options import like, option, options_class
from mfr_kit.outputs import Output, force_option
from mfr_kit.submission import tracks

FORMATS = "mfr_kit.submission.features"
# what is read of a run folder, beside which a run's exports may lie
RUN_PARTS = ("*.pt", "*.toml", "*.json", "*.jsonl", "*.txt", "graph.onnx", "student.onnx")
RUNTIMES = {"openvino": (".xml", ".bin"), "tflite": (".tflite",)}  # what --runs-on adds


def formats() -> list[str]:
    """The feature formats: the files of submission/features/."""
    return registry.names(FORMATS)


@options_class
class ExportOptions:
    run: Path = option(
        help="Run folder of `kit.py distill`, or a weights file inside it (runs/x/best.pt).",
        affects="place",
        argument=True,
        reads=RUN_PARTS,
    )
    out: Path | None = option(
        None,
        help="The ONNX file to write; default: model.onnx in the run folder.",
        affects="place",
        writes="file",
    )
    force: bool = force_option()
    opset: int = option(11, help="ONNX opset.", within="11..13")
    faces: Path | None = option(
        None,
        help="Face set, or text file of aligned images, to compare torch and the file on "
        "(first 256).",
        affects="place",
    )
    runs_on: str = option(
        "gpu",
        help="cpu: PReLU is written as sums, the same function, which onnxruntime runs "
        "about twice as fast on a CPU. gpu: it stays one operation. openvino, tflite: a file for "
        "that runtime beside it, run and compared with torch. coreml: refused, it cannot be run "
        "here.",
        choices=lambda: ["gpu", "cpu", "openvino", "tflite", "coreml"],
    )
    device: str = like(RecogniserOptions, "device", section="")
    report: Path | None = option(
        None,
        help="report.json of `kit.py evaluate` on this run: its thresholds and a model card go "
        "into the file, and MODEL_CARD.md beside it.",
        affects="place",
    )
    edge: str | None = option(
        None,
        help="Write a smaller file beside it too, and measure its cost on --faces (default: "
        "the ORL faces).",
        choices=lambda: ["float16", "int8"],
    )
    calibrate: Path | None = option(
        None,
        help="Face set whose faces span the ranges of --edge int8; people that are measured are "
        "left out of it.",
        affects="place",
    )
    val: Path | None = option(
        None,
        help="Face set on which --edge is compared with float32: TAR at each FAR, and the "
        "difference with intervals over people.",
        affects="place",
    )
    val_people: Path | None = option(
        None, help="List of the people of --val to measure; all if left out.", affects="place"
    )

    def __post_init__(self) -> None:
        for flag, given in (("--calibrate", self.calibrate), ("--val", self.val)):
            if given is not None and self.edge is None:
                raise KitError(f"{flag} is for a smaller file: add --edge int8 or --edge float16")
        if self.calibrate is not None and self.edge == "float16":
            raise KitError("--edge float16 has no ranges to calibrate: leave --calibrate out")
        if self.val_people is not None and self.val is None:
            raise KitError("--val-people names people of --val: add --val SET")

    def outputs(self) -> list[Output]:
        """The file that has a name of its own, and what is written beside it."""
        folder = self.run if self.run.is_dir() else self.run.parent
        path = self.out or folder / "model.onnx"
        found = [] if self.out else [Output(path, "file", "without --out:")]
        suffixes = RUNTIMES.get(self.runs_on, ())
        found += [Output(path.with_suffix(end), "file", "--runs-on:") for end in suffixes]
        if self.edge:
            found.append(Output(path.with_suffix(f".{self.edge}.onnx"), "file", "--edge:"))
        return found


@options_class
class CardOptions:
    model: Path = option(help="The .onnx file.", affects="place", argument=True)


@options_class
class CheckOptions:
    model: Path = option(help="The .onnx file.", affects="place", argument=True)
    track: str = option(help="The track whose rules are applied.", choices=tracks.names)
    run: Path | None = option(
        None,
        help="Run folder it came from: the file must agree with it on colour faces.",
        affects="place",
    )
    json: bool = option(False, help="Print JSON instead of a table.", affects="machine")
    latency: bool = option(True, help="Time the model here (advisory).", affects="machine")
    limit_s: int = like(LimitOptions, "limit_s")
    limit_mib: int = like(LimitOptions, "limit_mib")


@options_class
class SubmissionOptions:
    model: Path = option(help="The .onnx file.", affects="place", argument=True)
    track: str = option(help="The track it is packed for.", choices=tracks.names)
    out: Path = option(help="The .zip to write.", affects="place", writes="file")
    force: bool = force_option()
    run: Path | None = option(
        None,
        help="Run folder it came from: its options, lineage, metrics, people and commands are "
        "packed for a rerun.",
        affects="place",
        reads=RUN_PARTS,
    )
    rerun_people: str = option(
        "salted",
        help="With --run, the lists of people in the package: salted digests, which whoever has "
        "the photographs can turn into names; plain names; or none.",
        choices=lambda: ["salted", "plain", "none"],
    )
    report: Path | None = option(
        None, help="JSON report of `kit.py evaluate`; goes into the manifest.", affects="place"
    )
    features: Path | None = option(
        None,
        help="Text file of aligned images, one a line, or a face set: write their embeddings too.",
        affects="place",
    )
    allow_outside: bool = like(NamedFileOptions, "allow_outside")
    features_format: str | None = option(
        None,
        help="Format of the embeddings; default: the track's, else npy.",
        choices=formats,
        formerly="format",
    )
    detector: Path | None = option(
        None,
        help="Face detector (.onnx) for tracks that pack the whole pipeline; default: asset yunet.",
    )

    def __post_init__(self) -> None:
        if self.features_format and not self.features:
            raise KitError(
                "--features-format says how to write embeddings, but --features does not say of "
                "what: add --features LIST"
            )
        if self.out.suffix != ".zip":
            raise KitError(f"--out {self.out}: a submission is a .zip")

    def outputs(self) -> list[Output]:
        """The embeddings beside the zip."""
        path = self.features_path()
        kind = "file" if path.suffix != ".features" else "folder"
        return [Output(path, kind, "--features:")] if self.features else []

    def features_path(self) -> Path:
        """Where the embeddings of --features go: a file, or a folder where the format is one."""
        form = self.features_format or tracks.load(self.track).features or "npy"
        return self.out.with_suffix(f".features{registry.get(FORMATS, form).SUFFIX}")


@options_class
class VerifyOptions:
    package: Path = option(
        help="A .zip written by `kit.py make-submission`.", affects="place", argument=True
    )
    rerun: Path | None = option(
        None,
        help="Folder of the photographs: repeat the training from them, where all checks pass.",
        affects="place",
    )
    out: Path | None = option(
        None,
        help="Folder that --rerun works in and goes on in; default: PACKAGE-rerun beside the "
        "package.",
        affects="place",
        writes="folder",
        grows=True,
    )
    json: bool = option(False, help="Print JSON instead of a table.", affects="machine")
    limit_s: int = like(LimitOptions, "limit_s")
    limit_mib: int = like(LimitOptions, "limit_mib")

    def __post_init__(self) -> None:
        if self.out is not None and self.rerun is None:
            raise KitError("--out is where --rerun works: add --rerun PHOTOS")


@options_class
class BudgetOptions:
    track: str | None = option(
        None, help="The track whose time and size must be met.", choices=tracks.names
    )
    model: str | None = option(
        None, help="A recogniser of your own beside them: a run folder, or MODEL.onnx:imagenet."
    )
    table: Path | None = option(
        None,
        help="Markdown file to write instead: every backbone on every track.",
        affects="place",
        writes="file",
    )
    force: bool = force_option()
    json: bool = option(False, help="Print JSON instead of a table.", affects="machine")

    def __post_init__(self) -> None:
        if (self.track is None) == (self.table is None):
            raise KitError(
                "give --track for the backbones of one track, or --table FILE.md for every "
                "backbone on every track"
            )
        if self.table and self.model:
            raise KitError("--model stands beside the backbones of one --track, not in --table")
        if self.table and self.json:
            raise KitError(
                "--json prints what --track finds; --table writes Markdown: leave one of them out"
            )
        if self.table and self.table.suffix != ".md":
            raise KitError(f"--table {self.table}: the table is Markdown, a .md")
