"""What `kit.py adapt` can be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mfr_kit.data.lists import ListOptions
from mfr_kit.errors import KitError
from mfr_kit.options import like, option
from mfr_kit.training.options import RunOptions, refuse_out_of_range

if TYPE_CHECKING:
    from mfr_kit.training.views.view import ViewRecipe


@dataclass(frozen=True)
class AdaptOptions:
    """What `kit.py adapt` trains on the embeddings of a frozen recogniser, and on which."""

    data: Path = like(RunOptions, "data")
    out: Path = option(
        writes="folder",
        help="Run folder to write; a command that was stopped goes on with the embeddings it "
        "had "
        "stored.",
    )
    train_people: Path | None = like(RunOptions, "train_people")
    val_people: Path | None = option(
        None, help="List of names to choose the best epoch on; left out: the last epoch."
    )
    holdout_people: list[Path] | None = like(RunOptions, "holdout_people")
    allow_shared_people: bool = like(RunOptions, "allow_shared_people")
    allow_unknown: bool = like(ListOptions, "allow_unknown")
    teacher: str = option(
        "sface",
        help="The recogniser: an asset, .onnx file, state dict (.pth, .safetensors) or run "
        "folder. It stays as it "
        "is.",
    )
    normalisation: str | None = option(
        None,
        help="Input of an .onnx recogniser that does not say.",
        choices=lambda: ["minus1_to_1", "raw_0_255"],
    )
    output: str | None = option(
        None, help="Output to keep of an .onnx recogniser that has several, by its name."
    )
    method: str = option(
        "both",
        help="fcd: draw masked embeddings to their clean ones. srt: self-restrained triplet. "
        "both: their weighted "
        "sum.",
        choices=lambda: ["fcd", "srt", "both"],
    )
    srt_weight: float = option(
        1.0, help="Weight of the self-restrained triplet with --method both, >= 0."
    )
    srt_margin: float = option(
        2.0, help="m of the self-restrained triplet, >= 0; unrelated people are 2 apart."
    )
    clean_weight: float = option(
        1.0,
        help="Weight of FCD from clean embeddings to themselves, >= 0: bare faces stay where "
        "they "
        "are.",
    )
    hidden: int = option(512, help="Width of the adapter's two hidden layers.")
    views: int = option(
        1,
        help="Masked views drawn of each face; the recogniser embeds each and its mirror image, "
        "once.",
    )
    batch_size: int = option(512, help="Faces a step.")
    epochs: int = option(10, help="Passes over all stored views, >= 1.")
    learning_rate: float = like(RunOptions, "learning_rate")
    weight_decay: float = like(RunOptions, "weight_decay")
    masks: list[str] | None = like(RunOptions, "masks")
    mask_folder: Path | None = like(RunOptions, "mask_folder")
    mask_mix: Path | None = like(RunOptions, "mask_mix")
    degrade: float = like(RunOptions, "degrade")
    drift: float = like(RunOptions, "drift")
    photometric: float = like(RunOptions, "photometric")
    seed: int = option(0, help="Of everything random: views, first weights, order.")
    threads: int = option(0, help="CPU threads of torch and of the recogniser; 0 for all.")
    device: str = option(
        "auto",
        help="Where a recogniser that is a torch network runs.",
        choices=lambda: ["auto", "cpu", "cuda"],
    )
    bank: Path | None = option(
        None,
        help="Folder of stored embeddings, shared with distill and between runs; default: "
        "OUT/bank.",
    )
    bank_dtype: str = like(RunOptions, "bank_dtype")
    bank_batch: int = like(RunOptions, "bank_batch")

    def __post_init__(self) -> None:
        refuse_out_of_range(self)
        if self.method != "both" and self.srt_weight != AdaptOptions.srt_weight:
            raise KitError(
                f"--srt-weight weighs the two terms of --method both; --method {self.method} has "
                "one"
            )
        if self.method == "fcd" and self.srt_margin != AdaptOptions.srt_margin:
            raise KitError("--srt-margin is an option of --method srt and both, not of fcd")

    @property
    def mask_ratio(self) -> float:
        """Every stored view wears a mask; the clean faces are stored beside them."""
        return 1.0

    @property
    def recipe(self) -> "ViewRecipe":
        """How the views are drawn; their mirror images are stored too."""
        from mfr_kit.training.views.view import ViewRecipe

        return ViewRecipe(
            self.mask_ratio, self.drift, 0.0, self.photometric, mirror=0.0, degrade=self.degrade
        )
