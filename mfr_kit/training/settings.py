"""What a run is told, by subject: plain values that belong together, for what stands below a
command's door.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TeacherSpec:
    """Which recogniser gives the targets, and how its file is read (`models.load_embedder`)."""

    spec: str
    normalisation: str | None = None
    output: str | None = None
    threads: int = 0
    precision: str = "float32"


@dataclass(frozen=True)
class StudentSpec:
    """Which network is trained, and the weights it starts from; `embedding_size` None is the
    teacher's, or an ONNX student's own. `run` is the folder of a run that is resumed.
    """

    backbone: str
    width: float
    embedding_size: int | None
    init: str
    seed: int
    run: Path | None = None


@dataclass(frozen=True)
class BankSettings:
    """Where the teacher's embeddings lie, how they are made, where they are looked up, and by
    which engine they are filled.
    """

    root: Path
    batch: int
    dtype: str
    lookup: str
    engine: str = "local"
    address: str | None = None  # of the cluster


@dataclass(frozen=True)
class Targets:
    """What of the teacher a student's view is compared with: `view` "clean" or "same", `form`
    "view" or "sum".
    """

    view: str = "clean"
    form: str = "view"


@dataclass(frozen=True)
class Layers:
    """Which layers of the student move, and the factor on the rate from each to the one before it;
    `train_only` "all" or "norms".
    """

    freeze_first: int = 0
    freeze_last: int = 0
    train_only: str = "all"
    rate_decay: float = 1.0


@dataclass(frozen=True)
class Descent:
    """How gradients become steps: `optimiser` "adamw" or "sgd", the peak of its rate, its decay of
    matrices and filters, and SGD's momentum.
    """

    optimiser: str
    learning_rate: float
    weight_decay: float
    momentum: float


@dataclass(frozen=True)
class HeadSpec:
    """Whether the ranks share the classes of a head, the share of them in (0, 1] that is drawn as
    negatives of a step, and the seed of the draw.
    """

    sharded: bool = False
    negatives: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class RateSchedule:
    """The course of the learning rate: its peak, the share of the steps that it takes to rise, and
    the fall after that.
    """

    peak: float
    warmup: float
    fall: str


@dataclass(frozen=True)
class Regularisation:
    """What keeps weights near to where they were: the largest gradient norm (0: any), the pull of
    L2-SP, the decay of the averaged weights (0: none), batch-norm statistics that stay.
    """

    clip: float
    l2_sp: float
    ema: float
    frozen_norms: bool


@dataclass(frozen=True)
class Numerics:
    """In which numbers and which memory layout the student computes; `precision` "float32", "tf32",
    "bf16" or "fp16".
    """

    precision: str
    channels_last: bool


@dataclass(frozen=True)
class Wrapping:
    """What stands around a student while it is trained: `torch.compile`, activations computed
    again in the backward pass, batch statistics over all ranks.
    """

    compiled: bool = False
    recompute: bool = False
    sync_norms: bool = False


@dataclass(frozen=True)
class SaveRule:
    """When checkpoints are written: every so many steps, or where `steps` is 0 minutes."""

    steps: int = 0
    minutes: float = 5.0


@dataclass(frozen=True)
class Intervals:
    """Steps between log lines and validations, `validate` 0 is once a pass; and when checkpoints
    are written.
    """

    log: int
    save: SaveRule
    validate: int


@dataclass(frozen=True)
class Division:
    """How a batch is divided: the ranks, and the faces of each."""

    world: int
    batch_size: int

    @property
    def faces(self) -> int:
        """Of all ranks."""
        return self.world * self.batch_size

    def __str__(self) -> str:
        return f"{self.world} rank(s) of {self.batch_size} faces"


MANY_PASSES = 80  # more than any recipe's


@dataclass(frozen=True)
class Course:
    """The steps of a run: how many a pass over the faces takes (not a whole number with
    `accumulate`), how many there are, and the batches of one.
    """

    per_epoch: float
    total: int
    accumulate: int
    division: Division

    @property
    def faces(self) -> int:
        """Of one step, of all ranks."""
        return self.division.faces * self.accumulate

    def summary(self, faces: int) -> str:
        """Say what the steps are of a set of so many faces, and warn where that is many times
        what recipes were chosen for.
        """
        passes = self.total / self.per_epoch
        text = f"steps: {self.total:,} of {self.faces:,} faces, {passes:.3g} passes over {faces:,}"
        if passes > MANY_PASSES:
            text += (
                "\nnote: recipes were chosen on larger sets, with fewer passes; --max-epochs 10 "
                "ends after ten of them"
            )
        return text


@dataclass(frozen=True)
class Pace:
    """Faces a batch and rank, batches a step, and how long the run goes on; `steps` overrides
    `epochs` up to `max_epochs`.
    """

    batch_size: int
    accumulate: int
    epochs: float
    steps: int | None
    max_epochs: float | None = None

    def course_over(self, faces: int, world: int) -> Course:
        """Count the steps of a run over so many faces with so many ranks."""
        division = Division(world, self.batch_size)
        per_epoch = faces // division.faces / self.accumulate
        total = self.steps or max(1, round(self.epochs * per_epoch))
        if self.max_epochs is not None:
            total = min(total, max(1, round(self.max_epochs * per_epoch)))
        return Course(per_epoch, total, self.accumulate, division)
