"""How a student's weights move: batches, optimiser, learning rate, and which layers stay."""

from mfr_kit.options import option, options_class
from mfr_kit.training.settings import Descent, Layers, Pace, RateSchedule


@options_class
class LearningOptions:
    """The length of a run, its optimiser, and what holds the weights back."""

    sampling: str = option(
        "faces",
        help="faces: a pass shows every face. identities: a pass shows one face of every "
        "person, so people with few count as much.",
        section="Data",
        choices=lambda: ["faces", "identities"],
    )
    shuffle: str = option(
        "faces",
        help="faces: a pass in any order. blocks: for network disks, block by block: neighbours in "
        "the set are shown at about the same time, 64 blocks mixed with each other, so a batch is "
        "a draw from 64 places of the set.",
        section="Data",
        choices=lambda: ["faces", "blocks"],
    )
    shuffle_block: int = option(
        1024,
        help="Faces of a block of --shuffle blocks; people, with --sampling identities.",
        section="Data",
        within=">=1",
    )
    batch_size: int = option(64, help="Faces a step and rank.", section="Optimiser", within=">=1")
    epochs: float = option(
        10.0, help="Passes over the training faces.", section="Optimiser", within=">0"
    )
    steps: int | None = option(
        None, help="Optimiser steps; overrides --epochs.", section="Optimiser", within=">=1"
    )
    max_epochs: float | None = option(
        None,
        help="Passes over the training faces at most: --steps that suit a large set are many "
        "passes over a small one.",
        section="Optimiser",
        within=">0",
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
    negatives: float = option(
        1.0,
        help="Share of the other people's centres that a step classifies against, drawn anew each "
        "step (Partial FC); those not drawn stay as they are. Below 1 with --head sharded only.",
        section="Optimiser",
        within="0.1..1",
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

    @property
    def block(self) -> int:
        """Rows that stay near each other in a pass; 0: none do."""
        return self.shuffle_block if self.shuffle == "blocks" else 0

    @property
    def pace(self) -> Pace:
        """Faces a step, and how long the run goes on."""
        return Pace(self.batch_size, self.accumulate, self.epochs, self.steps, self.max_epochs)

    @property
    def descent(self) -> Descent:
        """The optimiser and its constants."""
        return Descent(self.optimiser, self.learning_rate, self.weight_decay, self.momentum)

    @property
    def rate_schedule(self) -> RateSchedule:
        """The course of the learning rate."""
        return RateSchedule(self.learning_rate, self.warmup, self.schedule)

    @property
    def layers(self) -> Layers:
        """Which layers move."""
        return Layers(
            self.freeze_layers, self.freeze_last_layers, self.train_only, self.layer_decay
        )
