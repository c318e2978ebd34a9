"""Options of `kit.py adapt`."""

from pathlib import Path
from typing import TYPE_CHECKING

from mfr_kit.data.lists import ListOptions
from mfr_kit.errors import KitError
from mfr_kit.models.input_format import DESCRIPTIONS, parse
from mfr_kit.models.options import RecogniserOptions
from mfr_kit.options import like, option, options_class
from mfr_kit.training.options import RunOptions
from mfr_kit.training.settings import TeacherSpec

if TYPE_CHECKING:
    from mfr_kit.adapt.adapter import Objective, Schedule
    from mfr_kit.training.people import PeopleLists
    from mfr_kit.training.views.view import ViewRecipe


@options_class
class AdaptOptions:
    """What `kit.py adapt` trains on the embeddings of a frozen recogniser, and on which."""

    data: Path = like(RunOptions, "data")
    out: Path = option(
        help="Run folder to write; a command that was stopped goes on with the embeddings "
        "it had stored.",
        section="Run",
        affects="place",
        writes="folder",
        grows=True,
    )
    train_people: Path | None = like(RunOptions, "train_people")
    val_people: Path | None = option(
        None,
        help="List of names to choose the best epoch on; left out: the last epoch.",
        section="Data",
        affects="place",
    )
    holdout_people: list[Path] | None = like(RunOptions, "holdout_people")
    allow_shared_people: bool = like(RunOptions, "allow_shared_people")
    allow_unknown: bool = like(ListOptions, "allow_unknown", section="Data")
    teacher: str = option(
        "sface",
        help="The recogniser: an asset, .onnx file, state dict (.pth, .safetensors) or run "
        "folder. It stays as it is.",
        section="Teacher",
    )
    normalisation: str | None = option(
        None,
        help=f"Input of an .onnx recogniser that does not say. {DESCRIPTIONS}",
        section="Teacher",
        check=parse,
    )
    output: str | None = option(
        None,
        help="Output to keep of an .onnx recogniser that has several, by its name.",
        section="Teacher",
    )
    method: str = option(
        "both",
        help="fcd: draw masked embeddings to their clean ones. srt: self-restrained "
        "triplet. both: their weighted sum.",
        section="Teacher",
        choices=lambda: ["fcd", "srt", "both"],
    )
    srt_weight: float = option(
        1.0,
        help="Weight of the self-restrained triplet with --method both.",
        section="Teacher",
        within=">=0",
    )
    srt_margin: float = option(
        2.0,
        help="m of the self-restrained triplet; unrelated people are 2 apart.",
        section="Teacher",
        within=">=0",
    )
    clean_weight: float = option(
        1.0,
        help="Weight of FCD from clean embeddings to themselves: bare faces stay where they are.",
        section="Teacher",
        within=">=0",
    )
    hidden: int = option(
        512, help="Width of the adapter's two hidden layers.", section="Student", within=">=1"
    )
    views: int = option(
        1,
        help="Masked views drawn of each face; the recogniser embeds each and its mirror "
        "image, once.",
        section="Views",
        within=">=1",
    )
    batch_size: int = option(512, help="Faces a step.", section="Optimiser", within=">=1")
    epochs: int = option(
        10, help="Passes over all stored views.", section="Optimiser", within=">=1"
    )
    learning_rate: float = like(RunOptions, "learning_rate")
    weight_decay: float = like(RunOptions, "weight_decay")
    masks: list[str] | None = like(RunOptions, "masks")
    mask_folder: Path | None = like(RunOptions, "mask_folder")
    mask_mix: Path | None = like(RunOptions, "mask_mix")
    degrade: float = like(RunOptions, "degrade")
    drift: float = like(RunOptions, "drift")
    drift_table: Path | None = like(RunOptions, "drift_table")
    photometric: float = like(RunOptions, "photometric")
    seed: int = option(
        0, help="Of everything random: views, first weights, order.", section="Run", within=">=0"
    )
    threads: int = option(
        0,
        help="CPU threads of torch and of the recogniser; 0 for all.",
        section="Machine",
        within=">=0",
        affects="machine",
    )
    device: str = like(RecogniserOptions, "device", section="Machine", default="auto")
    precision: str = like(RecogniserOptions, "precision", section="Teacher")
    bank: Path | None = option(
        None,
        help="Folder of stored embeddings, shared with distill and between runs; default: "
        "OUT/bank.",
        section="Teacher",
        affects="place",
        writes="folder",
        grows=True,
    )
    bank_dtype: str = like(RunOptions, "bank_dtype")
    bank_batch: int = like(RunOptions, "bank_batch")

    def __post_init__(self) -> None:
        if self.method != "both" and self.srt_weight != AdaptOptions.srt_weight:
            raise KitError(
                f"--srt-weight weighs the two terms of --method both; --method {self.method} has "
                "one"
            )
        if self.method == "fcd" and self.srt_margin != AdaptOptions.srt_margin:
            raise KitError("--srt-margin is an option of --method srt and both, not of fcd")

    @property
    def lists(self) -> "PeopleLists":
        """The lists that divide the set's people."""
        from mfr_kit.training.people import PeopleLists

        return PeopleLists(
            self.train_people,
            self.val_people,
            self.holdout_people or (),
            self.allow_shared_people,
            self.allow_unknown,
        )

    @property
    def recogniser(self) -> TeacherSpec:
        """Which recogniser is adapted, and how its file is read."""
        return TeacherSpec(
            self.teacher, self.normalisation, self.output, self.threads, self.precision
        )

    @property
    def objective(self) -> "Objective":
        """What the adapter is trained for."""
        from mfr_kit.adapt.adapter import Objective

        return Objective(self.method, self.srt_weight, self.srt_margin, self.clean_weight)

    @property
    def schedule(self) -> "Schedule":
        """How long the adapter is trained, and how fast."""
        from mfr_kit.adapt.adapter import Schedule

        return Schedule(
            self.epochs, self.batch_size, self.learning_rate, self.weight_decay, self.seed
        )

    @property
    def recipe(self) -> "ViewRecipe":
        """How the views are drawn: each with a mask on, as clean faces are stored beside them, and
        so are mirror images.
        """
        from mfr_kit.training.views.view import ViewRecipe

        return ViewRecipe(1.0, self.drift, 0.0, self.photometric, mirror=0.0, degrade=self.degrade)
