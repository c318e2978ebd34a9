"""What the commands that use several rooms let the user choose."""

from pathlib import Path

from mfr_kit.cluster import ENGINES
from mfr_kit.data.alignment.face_choice import ALL, PROMINENT, RULES
from mfr_kit.data.lists import ListOptions
from mfr_kit.errors import KitError
from mfr_kit.options import like, option, options_class
from mfr_kit.registry import names


def parse_share(text: str) -> tuple[Path, float]:
    """Read a LIST=SHARE.

    Raises:
        KitError: no list, or no share in 0..1.
    """
    path, _, share = text.rpartition("=")
    try:
        number = float(share)
    except ValueError:
        number = -1.0
    if not path or not 0 <= number <= 1:
        raise KitError(
            f"--ratio-people {text}: say LIST=SHARE with a share between 0 and 1, as in "
            "holdout.txt=1"
        )
    return Path(path), number


@options_class
class AugmentOptions:
    """Options of `kit.py augment`."""

    src: Path = option(
        help="Folder that holds one folder of photographs (or, with --aligned, of aligned "
        "faces) per person.",
        section="Photographs",
        affects="place",
        argument=True,
    )
    dst: Path = option(
        help="Face set to write; a run that was stopped is continued by the same command.",
        section="Face set",
        affects="place",
        argument=True,
        writes="folder",
        grows=True,
    )
    ratio: float = option(
        0.35,
        help="Share of the faces that get a masked twin beside the clean face.",
        section="Masks",
        within="0..1",
        also="mask_ratio",
    )
    ratio_people: list[str] | None = option(
        None,
        help="LIST=SHARE (repeat the flag): another share for the people of a list, as "
        "holdout.txt=1 for those that will be measured.",
        section="Masks",
        affects="place",  # what the lists hold is compared when a run goes on
        check=lambda given: [parse_share(text) for text in given],
    )
    seed: int = option(
        0,
        help="Same seed, same masks, whatever the number of workers.",
        section="Masks",
        within=">=0",
    )
    masks: list[str] | None = option(
        None,
        help="Mask templates to draw from (repeat the flag); all that `kit.py masks list` "
        "shows if left out.",
        section="Masks",
    )
    mask_folder: Path | None = option(
        None,
        help="Folder of mask templates; the kit's own if left out.",
        section="Masks",
        affects="place",
    )
    mask_on: str | None = option(
        None,
        help="photo: draw the mask on the photograph and detect again, as a deployed system "
        "must (default for photographs). crop: draw it on the aligned face (default "
        "with --aligned).",
        section="Masks",
        choices=lambda: ["photo", "crop"],
    )
    aligned: bool = option(
        False,
        help="SRC holds faces already aligned to the ArcFace 112x112 template, or to "
        "SphereFace's 96x112; no detector is used.",
        section="Photographs",
    )
    detect: bool = option(
        False,
        help="With --aligned: look for each face's own landmarks, so that masks sit better; "
        "the faces stay as they are.",
        section="Photographs",
    )
    alignment: str = option(
        "plain",
        help="robust: the median landmarks over several scales and mirror images; slower, "
        "and what to measure masked faces with.",
        section="Photographs",
        choices=lambda: ["plain", "robust"],
    )
    upright: bool = option(
        False,
        help="Turn photographs that lie on their side or upside down without an EXIF tag: "
        "three more looks where the first is not sure.",
        section="Photographs",
    )
    faces: str = option(
        PROMINENT,
        help="Which face of a photograph with several: prominent (large and central), largest, "
        "central, or all, as PHOTO#1, PHOTO#2 ... from the most prominent on.",
        section="Photographs",
        choices=lambda: [*RULES, ALL],
    )
    level: int | None = option(
        None,
        help="Folder levels above a person's folder: 1 for SRC/*/PERSON. Default: 0, but "
        "what looks deeper is refused.",
        section="Photographs",
        within="0..5",
    )
    people: Path | None = option(
        None,
        help="List of names, one a line: only these people.",
        section="Photographs",
        affects="place",
    )
    exclude: Path | None = option(
        None,
        help="List of photographs to leave out, one path inside SRC a line.",
        section="Photographs",
        affects="place",
    )
    allow_unknown: bool = like(ListOptions, "allow_unknown", section="Photographs")
    image: str = option(
        "jpg",
        help="File format of the faces: JPEG quality 95 without chroma subsampling, or PNG.",
        section="Face set",
        choices=lambda: ["jpg", "png"],
    )
    format: str = option(
        "folder",
        help="Images as files below DST/faces, or as records in InsightFace's .rec files.",
        section="Face set",
        choices=lambda: ["folder", "rec"],
    )
    shards: int = option(
        1,
        help="Parts of people that can be worked at apart; with --format rec each is a .rec file.",
        section="Face set",
        within=">=1",
    )
    shard: int | None = option(
        None,
        help="Make only this one of --shards, 0 .. N-1, in DST.part, beside other machines. The "
        "same command without --shard makes what is missing and moves the whole to DST.",
        section="Run",
        within=">=0",
        affects="machine",
    )
    detector: str = option(
        "yunet",
        help="What finds faces and landmarks. yunet-onnx finds those of yunet but for the last "
        "digits, faster.",
        section="Photographs",
        choices=lambda: names("mfr_kit.data.detectors"),
    )
    detector_model: Path | None = option(
        None,
        help="Your own model: for yunet and yunet-onnx its ONNX file (default: the asset "
        "'yunet'), for insightface the name or folder of a model pack, or an SCRFD or RetinaFace "
        ".onnx.",
        section="Photographs",
    )
    device: str = option(
        "cpu",
        help="Where the detector (insightface, yunet-onnx) runs: auto, cpu, cuda, cuda:N or "
        "tensorrt; a device wants few --workers, and finds landmarks that differ in the last "
        "digits.",
        section="Photographs",
    )
    detect_batch: int = option(
        1,
        help="Photographs that the detector (insightface, yunet-onnx) is shown at once: for a GPU, "
        "a CPU gains nothing. Landmarks may differ in the last digits.",
        section="Photographs",
        within="1..64",
    )
    workers: int | None = option(
        None,
        help="Processes; 0 works in this one. Default: one per core; with --engine ray, actors: "
        "one per CPU of the cluster, or per GPU with --device cuda.",
        section="Run",
        within=">=0",
        affects="machine",
    )
    engine: str = option(
        "local",
        help="What runs the workers: this machine, or a Ray cluster (docs/guides/scale.md), which "
        "works at as many --shards at once as it has CPUs.",
        section="Run",
        choices=lambda: list(ENGINES),
        affects="machine",
    )
    address: str | None = option(
        None,
        help="With --engine ray: HOST:PORT of the cluster's head, auto for the cluster that this "
        "machine is in, or local for this machine alone. Default: RAY_ADDRESS, else local.",
        section="Run",
        affects="machine",
    )
    dry_run: bool = option(
        False,
        help="Try a few photographs, say what the whole will take in time and disk, and "
        "write nothing.",
        section="Run",
        affects="machine",
    )

    def __post_init__(self) -> None:
        if self.aligned and self.upright:
            raise KitError(
                "--aligned and --upright contradict each other: an aligned face is taken as it is"
            )
        if self.aligned and self.detect_batch > 1:
            raise KitError(
                "--aligned and --detect-batch contradict each other: an aligned face is looked at "
                "alone, if at all"
            )
        if self.aligned and self.faces != PROMINENT:
            raise KitError(
                f"--aligned and --faces {self.faces} contradict each other: an aligned face is "
                "taken as it is"
            )
        if self.detect and not self.aligned:
            raise KitError(
                "--detect only makes sense with --aligned: photographs are detected in anyway"
            )
        if self.aligned and self.alignment == "robust":
            raise KitError(
                "--aligned and --alignment robust contradict each other: an aligned face is "
                "taken as it is"
            )
        if self.aligned and self.mask_on == "photo":
            raise KitError(
                "--aligned and --mask-on photo contradict each other: an aligned face has no "
                "photograph around it to detect in"
            )

        if self.shard is not None and self.shard >= self.shards:
            raise KitError(
                f"--shard {self.shard}: of --shards {self.shards} the last one is {self.shards - 1}"
            )
        if self.shard is not None and self.dry_run:
            raise KitError("--shard and --dry-run contradict each other: try the whole set")
        self._check_engine()

    def _check_engine(self) -> None:
        if self.engine != "ray":
            if self.address is not None:
                raise KitError("--address is of a Ray cluster: add --engine ray")
            return
        if self.shard is not None:
            raise KitError(
                "--engine ray and --shard contradict each other: the cluster makes all shards"
            )
        if self.workers == 0:
            raise KitError("--engine ray and --workers 0 contradict each other: give 1 or more")
        if self.device not in ("cpu", "cuda", "tensorrt"):
            raise KitError(
                f"--engine ray and --device {self.device} contradict each other: Ray chooses the "
                "GPU, and all machines do the same; give cpu, cuda or tensorrt"
            )

    @property
    def draws_on_photo(self) -> bool:
        """Whether masks are drawn before the detection."""
        return not self.aligned if self.mask_on is None else self.mask_on == "photo"


@options_class
class DemoOptions:
    """Options of `kit.py demo`."""

    out: Path = option(
        Path("runs/demo"),
        help="Folder for the student, the report and the submission; an earlier demo there "
        "is replaced.",
        affects="place",
        writes="folder",
        grows=True,
    )
    steps: int = option(
        60,
        help="Training steps of 32 faces; the default keeps the whole demo under five "
        "minutes on two cores.",
        within=">=1",
    )
