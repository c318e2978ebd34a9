"""What `kit.py evaluate` can be told."""

from pathlib import Path

from mfr_kit.data.lists import ListOptions
from mfr_kit.errors import KitError
from mfr_kit.evaluation.settings import Recognition
from mfr_kit.limited_process import LimitOptions
from mfr_kit.models.input_format import DESCRIPTIONS, parse
from mfr_kit.models.options import RecogniserOptions, check_engine
from mfr_kit.options import like, option, options_class
from mfr_kit.outputs import force_option


@options_class
class EvaluateOptions:
    """Options of `kit.py evaluate`; see the help of each."""

    models: list[str] = option(
        help="One or more: an asset (sface), an .onnx file, a state dict (.pth, "
        ".safetensors), a run folder, or embeddings of the set (.npy, .parquet).",
        section="Models and sets",
        argument=True,
    )
    data: Path | None = option(
        None,
        help="Face set, as `augment` writes it, also an s3://, gs:// or https:// URL; may be left "
        "out with --bin or --ijb.",
        section="Models and sets",
        affects="place",
    )
    realigned: Path | None = option(
        None,
        help="The same photographs aligned in another way: every model on both, compared "
        "with the first model on --data.",
        section="Models and sets",
        affects="place",
    )
    bin: list[Path] | None = option(
        None,
        help="Verification set (lfw.bin, cfp_fp.bin, ...), may be repeated: accuracy in ten folds.",
        section="Models and sets",
        affects="place",
    )
    ijb: list[Path] | None = option(
        None,
        help="Folder of IJB-B or IJB-C (meta, loose_crop), may be repeated: its pairs of "
        "templates.",
        section="Models and sets",
        affects="place",
    )
    people: Path | None = option(
        None,
        help="List of names, one a line: measure these people only.",
        section="Models and sets",
        affects="place",
    )
    allow_unknown: bool = like(ListOptions, "allow_unknown", section="Models and sets")
    allow_overlap: bool = option(
        False,
        help="Measure people that a model was trained on, too; the report says how many they are.",
        section="Models and sets",
    )
    sample_people: int | None = option(
        None,
        help="Measure so many people, drawn by --seed: for sets too large to measure whole; "
        "the intervals say how sure that is.",
        section="Models and sets",
        within=">=2",
    )
    protocol: list[str] | None = option(
        None,
        help="Protocol, may be repeated; default: all that the set allows but what is asked "
        "for by name (see docs/guides/evaluating.md).",
        section="Measurements",
    )
    mask_seed: int = option(
        0,
        help="Seed of the masks that --protocol synthetic-mask draws.",
        section="Measurements",
        within=">=0",
    )
    pairs: Path | None = option(
        None,
        help="List of pairs as LFW or MLFW publishes it (pairs.txt), for --protocol lfw.",
        section="Measurements",
        affects="place",
    )
    groups: Path | None = option(
        None,
        help="CSV `identity,group`: --protocol all-to-all with a row each group; default: "
        "the set's groups.csv.",
        section="Measurements",
        affects="place",
    )
    enrol: int = option(
        0,
        help="Photographs of a person to enrol, for --protocol identification (1 unless "
        "given), which it also asks for.",
        section="Measurements",
        within=">=0",
    )
    distractors: list[str] | None = option(
        None,
        help="Strangers for --protocol distractors, which it also asks for: a second face "
        "set, or a file of embeddings (.npy, .parquet) of each model in their order. "
        "Default: people of the set who are not probed.",
        section="Measurements",
    )
    far: list[float] | None = option(
        None,
        help="False-accept rate, may be repeated; default: 1e-2, 1e-3 and 1e-4.",
        section="Measurements",
        within=">0..<1",
    )
    out: Path | None = option(
        None,
        help="Folder for report.html, report.json, and tables as CSV, Markdown and LaTeX.",
        section="Report",
        affects="place",
        writes="folder",
    )
    pdf: bool = option(
        False,
        help="With --out also report.pdf, through Chromium or Chrome, where there is one.",
        section="Report",
        affects="place",
    )
    force: bool = force_option("Report")
    faces: bool = option(
        True,
        help="Show the worst errors in the report, as pictures with file names; --no-faces "
        "leaves out both.",
        section="Report",
    )
    explain: int = option(
        0,
        help="Pairs of whose faces the report shows what the score rests on, clean and masked.",
        section="Report",
        within=">=0",
    )
    gallery: str | None = option(
        None,
        help="Model whose enrolled templates the probes of MODELS are compared with as well.",
        section="Measurements",
    )
    operating_point: float | None = option(
        None,
        help="False-match rate: print thresholds and FNMR with and without masks.",
        section="Measurements",
        within=">0..<1",
    )
    flip: bool = option(
        False, help="Add the embedding of the mirrored face.", section="Measurements"
    )
    resamples: int = option(
        1000,
        help="Bootstrap resamples over people for the 95 % intervals; 0 for none.",
        section="Measurements",
        within=">=0",
    )
    seed: int = option(
        0,
        help="Seed of the resamples, of --sample-people and of who is enrolled.",
        section="Measurements",
        within=">=0",
    )
    normalisation: str | None = option(
        None,
        help="The input of every .onnx that does not say; MODEL.onnx:raw_0_255 says it for one. "
        f"{DESCRIPTIONS}",
        section="Networks",
        check=parse,
    )
    output: str | None = option(
        None,
        help="Output to keep of an .onnx model that has several, by its name.",
        section="Networks",
    )
    limit_s: int = like(LimitOptions, "limit_s", section="Networks")
    limit_mib: int = like(LimitOptions, "limit_mib", section="Networks")
    batch: int = option(
        64, help="Faces a run of the network.", section="Networks", within=">=1", affects="machine"
    )
    device: str = like(RecogniserOptions, "device")
    precision: str = like(RecogniserOptions, "precision")
    engine: str = like(RecogniserOptions, "engine")
    address: str | None = like(RecogniserOptions, "address")
    threads: int = option(
        0,
        help="CPU threads of the network; 0 for all.",
        section="Networks",
        within=">=0",
        affects="machine",
    )
    dry_run: bool = option(
        False,
        help="Try a few faces, say how many are embedded and compared and how long that takes, and "
        "measure nothing.",
        section="Measurements",
        affects="machine",
    )
    cache: bool = option(
        True,
        help="Keep embeddings in the kit's cache folder and use those kept.",
        section="Networks",
        affects="machine",
    )

    @property
    def recognition(self) -> Recognition:
        """How models are loaded, and how they embed."""
        return Recognition(
            self.normalisation,
            self.output,
            self.threads,
            self.device,
            self.precision,
            self.flip,
            self.batch,
            self.cache,
            self.engine,
        )

    def __post_init__(self) -> None:
        if self.data is None:
            self._without_a_set()
        check_engine(self.engine, self.address, self.device)
        if self.engine == "ray" and self.dry_run:
            raise KitError(
                "--engine ray and --dry-run contradict each other: this machine is tried"
            )
        self._sample()
        self._distractors()
        self._other_alignment()
        if self.explain and not (self.out and self.faces):
            missing = "give its folder with --out" if self.faces else "leave --no-faces out"
            raise KitError(f"--explain {self.explain} shows faces in the report: {missing}")
        if self.pdf and self.out is None:
            raise KitError("--pdf prints the report: give its folder with --out")
        twice = sorted({name for name in self.models if self.models.count(name) > 1})
        if twice:
            raise KitError(f"model '{twice[0]}' is given twice")

    def _distractors(self) -> None:
        if self.distractors and self.protocol and "distractors" not in self.protocol:
            raise KitError(
                "--distractors serves --protocol distractors: ask for that too, or leave "
                "--protocol out"
            )

    def _other_alignment(self) -> None:
        given = [
            name
            for name in ("bin", "ijb", "gallery", "explain", "distractors")
            if getattr(self, name)
        ]
        asked = [name for name in self.protocol or () if name.replace("_", "-") == "synthetic-mask"]
        if self.realigned and (given or asked):
            other = f"--{given[0]}" if given else f"--protocol {asked[0]}"
            raise KitError(
                f"--realigned compares two alignments of one set, {other} knows one: leave one "
                "of the two out"
            )

    def _sample(self) -> None:
        if self.sample_people and not self.resamples:
            raise KitError(
                "--sample-people with --resamples 0: what a sample says needs its interval"
            )

    def _without_a_set(self) -> None:
        if not (self.bin or self.ijb):
            raise KitError(
                "--data is missing: give a face set, as `augment` writes it, or verification "
                "sets with --bin or --ijb"
            )
        for name in (
            "realigned",
            "people",
            "sample_people",
            "protocol",
            "pairs",
            "groups",
            "enrol",
            "distractors",
            "gallery",
            "operating_point",
            "explain",
        ):
            if getattr(self, name):
                raise KitError(
                    f"--{name.replace('_', '-')} asks for a face set: give one with --data"
                )
