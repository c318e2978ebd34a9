"""The options of `kit.py distill` (what every run has, plus the union of what the methods in
losses/ declare) and what `adapt` shares.
"""

import functools
from dataclasses import MISSING, field, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfr_kit import registry
from mfr_kit.data.lists import ListOptions
from mfr_kit.errors import KitError
from mfr_kit.options import flag_of, like, option, options_class

if TYPE_CHECKING:
    from mfr_kit.training.views.view import ViewRecipe

METHODS = "mfr_kit.losses"
BACKBONES = "mfr_kit.models.backbones"


@options_class
class RunOptions:
    """What every run has, whatever its method."""

    data: Path = option(
        help="Face set to train on (written by `kit.py augment`); only its clean faces are used.",
        section="Data",
        affects="place",
    )
    out: Path = option(help="Run folder to write.", section="Run", affects="place", writes="folder")
    train_people: Path | None = option(
        None,
        help="List of names to train on; left out: everybody but --val-people and "
        "--holdout-people.",
        section="Data",
        affects="place",
    )
    val_people: Path | None = option(
        None,
        help="List of names to choose the best weights on; left out: no validation.",
        section="Data",
        affects="place",
    )
    holdout_people: list[Path] | None = option(
        None,
        help="Lists of names never trained on (repeat the flag); refused if --train-people "
        "shares any.",
        section="Data",
        affects="place",
    )
    allow_shared_people: bool = option(
        False,
        help="Accept lists that share people; figures measured on them flatter.",
        section="Data",
    )
    allow_unknown: bool = like(ListOptions, "allow_unknown", section="Data")
    resume: bool = option(
        False,
        help="Continue the run in --out from its last checkpoint.",
        section="Run",
        affects="machine",
    )
    dry_run: bool = option(
        False,
        help="Write nothing; try a few steps and say what the run will take: steps, hours, "
        "memory, disk.",
        section="Run",
        affects="machine",
    )
    method: str = option(
        "coupleface",
        help="What the student is trained by.",
        section="Teacher",
        choices=lambda: registry.names(METHODS),
    )
    teacher: str = option(
        "sface",
        help="Asset, .onnx file, state dict (.pth, .safetensors) or run folder that gives "
        "the targets; an ensemble with commas.",
        section="Teacher",
    )
    normalisation: str | None = option(
        None,
        help="Input of an .onnx teacher that does not say; MODEL.onnx:raw_0_255 says it for "
        "one of an ensemble.",
        section="Teacher",
        choices=lambda: ["minus1_to_1", "raw_0_255"],
    )
    output: str | None = option(
        None,
        help="Output to keep of an .onnx teacher that has several, by its name.",
        section="Teacher",
    )
    teacher_view: str = option(
        "clean",
        help="The teacher sees the clean face (from the bank) or the student's own view.",
        section="Teacher",
        choices=lambda: ["clean", "same"],
    )
    target: str = option(
        "view",
        help="f(x) of the view's mirror state, or the normalised sum of f(x) and f(mirrored x).",
        section="Teacher",
        choices=lambda: ["view", "sum"],
    )
    student: str = option(
        "mobilefacenet",
        help="Backbone.",
        section="Student",
        choices=lambda: registry.names(BACKBONES),
    )
    width: float = option(
        1.0, help="Factor on the backbone's channel counts.", section="Student", within=">0"
    )
    embedding_size: int | None = option(
        None,
        help="D of the student; left out: the teacher's. Another size trains a projector, "
        "dropped at export.",
        section="Student",
        within=">=1",
    )
    init: str = option(
        "random",
        help="`random`, `teacher` (same architecture), or a run folder or weights file "
        "(.pth, .safetensors) to start from.",
        section="Student",
    )
    sampling: str = option(
        "faces",
        help="faces: a pass shows every face. identities: a pass shows one face of every "
        "person, so people with few count as much.",
        section="Data",
        choices=lambda: ["faces", "identities"],
    )
    batch_size: int = option(64, help="Faces a step and rank.", section="Optimiser", within=">=1")
    epochs: float = option(
        10.0, help="Passes over the training faces.", section="Optimiser", within=">0"
    )
    steps: int | None = option(
        None, help="Optimiser steps; overrides --epochs.", section="Optimiser", within=">=1"
    )
    accumulate: int = option(
        1,
        help="Batches whose gradients make one step: a larger step for the memory of one batch.",
        section="Optimiser",
        within=">=1",
    )
    optimiser: str = option(
        "adamw", help="Optimiser.", section="Optimiser", choices=lambda: ["adamw", "sgd"]
    )
    learning_rate: float = option(
        0.001, help="Peak learning rate.", section="Optimiser", within=">0"
    )
    weight_decay: float = option(
        0.0005,
        help="Weight decay of matrices and filters; none on biases, norms and slopes.",
        section="Optimiser",
        within=">=0",
    )
    momentum: float = option(0.9, help="Momentum of SGD.", section="Optimiser", within="0..<1")
    schedule: str = option(
        "cosine",
        help="After the warm-up.",
        section="Optimiser",
        choices=lambda: ["cosine", "step", "polynomial", "constant"],
    )
    warmup: float = option(
        0.05,
        help="Share of the steps that the learning rate takes to rise.",
        section="Optimiser",
        within="0..1",
    )
    layer_decay: float = option(
        1.0,
        help="Learning-rate factor from each layer to the one before it.",
        section="Optimiser",
        within=">0..1",
    )
    freeze_layers: int = option(
        0,
        help="First layers that keep their initial weights; they cost no backward pass, "
        "which on a CPU is most of a step.",
        section="Student",
        within=">=0",
    )
    freeze_last_layers: int = option(
        0,
        help="Last layers that keep their initial weights, so that what maps features to "
        "people stays as it is.",
        section="Student",
        within=">=0",
    )
    train_only: str = option(
        "all",
        help="norms: only the scales and shifts of batch norms, slopes and biases move, a "
        "few thousand numbers.",
        section="Student",
        choices=lambda: ["all", "norms"],
    )
    clip: float = option(
        5.0, help="Largest gradient norm; 0 for none.", section="Optimiser", within=">=0"
    )
    freeze_bn: bool | None = option(
        None,
        help="Keep batch-norm statistics as they start; default: unless --init random.",
        section="Student",
    )
    l2_sp: float = option(
        0.0,
        help="Pull towards the initial weights: 0.5 * this * squared distance.",
        section="Student",
        within=">=0",
    )
    ema: float = option(
        0.0,
        help="Decay of the averaged weights; 0 for none. If averaged, they are validated and kept.",
        section="Student",
        within="0..<1",
    )
    weight_share: float = option(
        1.0,
        help="Share of the way from the initial to the trained weights that student.pt goes.",
        section="Student",
        within="0..1",
        formerly="keep",
    )
    mask_ratio: float = option(
        0.35,
        help="Probability that the student's face wears a mask.",
        section="Views",
        within="0..1",
    )
    masks: list[str] | None = option(
        None,
        help="Mask looks or kinds to draw from (repeat the flag); all if left out.",
        section="Views",
    )
    mask_folder: Path | None = option(
        None,
        help="Folder of mask templates; the kit's own if left out.",
        section="Views",
        affects="place",
    )
    mask_mix: Path | None = option(
        None,
        help="TOML like masks/mix.toml: how often each kind is drawn and how samples vary; "
        "what it leaves out stays as it is.",
        section="Views",
        affects="place",
    )
    degrade: float = option(
        0.0,
        help="Probability that a view, bare or masked, is degraded: cut off, shrunk to "
        "20-60 pixels, JPEG 20-60, blurred, grey.",
        section="Views",
        within="0..1",
    )
    drift: float = option(
        1.0,
        help="Alignment drift of masked faces; 1 is what was measured: on the set's twins, "
        "or the kit's constants if it has few.",
        section="Views",
        within=">=0",
    )
    drift_clean: float = option(
        0.25,
        help="Alignment drift of clean faces, as a factor on the kit's constants.",
        section="Views",
        within=">=0",
    )
    photometric: float = option(
        1.0,
        help="Probability factor of brightness, colour, blur, noise and compression; 0 for none.",
        section="Views",
        within=">=0",
    )
    seed: int = option(
        0,
        help="Of everything random: same seed, same batches, whatever the number of workers.",
        section="Run",
        within=">=0",
    )
    workers: int = option(
        2, help="Loader processes; 0: this one.", section="Machine", within=">=0", affects="machine"
    )
    threads: int = option(
        0,
        help="CPU threads of torch and of the teacher; 0 for all.",
        section="Machine",
        within=">=0",
        affects="machine",
    )
    device: str = option(
        "auto",
        help="Where the student trains: auto, cpu, cuda, cuda:N or mps; under torchrun a rank of "
        "cuda takes the device of its number.",
        section="Machine",
        affects="machine",
    )
    timeout: float = option(
        30.0,
        help="Minutes after which a step that a rank does not reach is an error.",
        section="Machine",
        within=">0",
        affects="machine",
    )
    precision: str = option(
        "float32",
        help="Of the student's forward pass; tf32 is float32 with rounded products on CUDA.",
        section="Machine",
        choices=lambda: ["float32", "tf32", "bf16"],
    )
    channels_last: bool = option(True, help="Memory layout of the student.", section="Machine")
    compile: bool = option(False, help="torch.compile the student.", section="Machine")
    bank: Path | None = option(
        None,
        help="Folder of teacher embeddings, shared by runs; default: OUT/bank.",
        section="Teacher",
        affects="place",
        writes="folder",
    )
    bank_on: str = option(
        "auto",
        help="Where its rows are looked up; auto: on the device where they fit, else disk.",
        section="Machine",
        affects="machine",
        choices=lambda: ["auto", "device", "host", "disk"],
    )
    bank_dtype: str = option(
        "float32", help="Type on disk.", section="Teacher", choices=lambda: ["float32", "float16"]
    )
    bank_batch: int = option(
        8,
        help="Faces a teacher call (twice as many images); on a CPU few are faster than many.",
        section="Teacher",
        within=">=1",
    )
    log_every: int = option(
        20,
        help="Steps between lines of metrics.jsonl.",
        section="Run",
        within=">=1",
        affects="machine",
    )
    save_every: int = option(
        200, help="Steps between checkpoints.", section="Run", within=">=1", affects="machine"
    )
    tensorboard: bool = option(
        False,
        help="Write the figures of metrics.jsonl for TensorBoard too, into OUT/tensorboard.",
        section="Run",
        affects="machine",
    )
    val_every: int = option(
        0, help="Steps between validations; 0: once an epoch.", section="Run", within=">=0"
    )

    def __post_init__(self) -> None:
        if self.teacher_view == "same" and self.target == "sum":
            raise KitError(
                "--teacher-view same runs the teacher on the one view of the student: it cannot "
                "give --target sum"
            )
        self._refuse_options_of_other_methods()

    @property
    def frozen_norms(self) -> bool:
        """Whether batch-norm statistics stay as they start."""
        return self.init != "random" if self.freeze_bn is None else self.freeze_bn

    @property
    def recipe(self) -> "ViewRecipe":
        """How the student's views are drawn."""
        from mfr_kit.training.views.view import ViewRecipe

        return ViewRecipe(
            self.mask_ratio, self.drift, self.drift_clean, self.photometric, degrade=self.degrade
        )

    def of_method(self) -> Any:
        """Return the chosen method's own options object."""
        cls = registry.get(METHODS, self.method).Options
        return cls(**{entry.name: getattr(self, entry.name) for entry in fields(cls)})

    def _refuse_options_of_other_methods(self) -> None:
        own = {entry.name for entry in fields(registry.get(METHODS, self.method).Options)}
        common = {entry.name for entry in fields(RunOptions)}
        for entry in fields(self):
            if entry.name not in own | common and getattr(self, entry.name) != entry.default:
                raise KitError(
                    f"{flag_of(entry)} is an option of {entry.metadata['methods']}, not of "
                    f"--method {self.method}"
                )


@functools.cache
def distill_options() -> type[RunOptions]:
    """Return the dataclass of all flags: `RunOptions` and every method's options, each of the
    latter tagged with its methods.
    """
    declared: dict[str, tuple[Any, list[str]]] = {}
    for name in registry.names(METHODS):
        for entry in fields(registry.get(METHODS, name).Options):
            first, methods = declared.setdefault(entry.name, (entry, []))
            if (first.type, first.default) != (
                entry.type,
                entry.default,
            ) or entry.default is MISSING:
                raise TypeError(
                    f"losses/{name}.py and losses/{methods[0]}.py declare '{entry.name}' "
                    "differently"
                )
            methods.append(name)
    extra = []
    for name, (entry, methods) in sorted(
        declared.items(), key=lambda item: item[1][1] != ["coupleface"]
    ):
        owners = ", ".join(methods)
        metadata = {
            **entry.metadata,
            "help": f"({owners}) {entry.metadata['help']}",
            "methods": owners,
            "section": f"Method: {owners}",
        }
        extra.append((name, entry.type, field(default=entry.default, metadata=metadata)))
    return make_dataclass("DistillOptions", extra, bases=(RunOptions,), frozen=True)
