"""What a run uses of the machine, and what it writes while it goes."""

import re
from pathlib import Path

from mfr_kit.cluster import ENGINES
from mfr_kit.errors import KitError
from mfr_kit.models.options import RecogniserOptions
from mfr_kit.options import like, option, options_class
from mfr_kit.training.settings import Intervals, Numerics, SaveRule, Wrapping


@options_class
class MachineOptions:
    """Seed, processes, device, the teacher's bank, log and checkpoints."""

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
        help="Where student and teacher run: auto, cpu, cuda, cuda:N, tensorrt (a teacher's ONNX "
        "file) or mps; under torchrun a rank of cuda takes the device of its number.",
        section="Machine",
        affects="machine",
    )
    render_on: str = option(
        "cpu",
        help="Where the pixels of views are made: by the loader's workers, or on the student's "
        "device; auto: there if that is a CUDA device.",
        section="Machine",
        affects="machine",
        choices=lambda: ["cpu", "device", "auto"],
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
        help="Of the student's forward pass; tf32 is float32 with rounded products on CUDA; fp16, "
        "with a scaled loss, is for devices without bf16 (V100, T4).",
        section="Machine",
        choices=lambda: ["float32", "tf32", "bf16", "fp16"],
    )
    channels_last: bool = option(True, help="Memory layout of the student.", section="Machine")
    compile: bool = option(False, help="torch.compile the student.", section="Machine")
    recompute: bool = option(
        False,
        help="Compute activations of the student's blocks again in the backward pass: a fraction "
        "of the memory for about a third more time.",
        section="Machine",
    )
    sync_norms: bool = option(
        False,
        help="Take the student's batch statistics over all CUDA ranks; for few faces a rank.",
        section="Machine",
    )
    head: str = option(
        "whole",
        help="Classification head: every rank holds it whole, or each rank holds the centres of "
        "its share of the people (kd: their prototypes); the same losses but for rounding.",
        section="Machine",
        affects="machine",
        choices=lambda: ["whole", "sharded"],
    )
    bank: Path | None = option(
        None,
        help="Folder of teacher embeddings, shared by runs; default: OUT/bank.",
        section="Teacher",
        affects="place",
        writes="folder",
        grows=True,
    )
    bank_on: str = option(
        "auto",
        help="Where its rows are looked up; auto: on the device where they fit, else disk.",
        section="Machine",
        affects="machine",
        choices=lambda: ["auto", "device", "host", "disk"],
    )
    teacher_precision: str = like(RecogniserOptions, "precision", section="Teacher")
    bank_dtype: str = option(
        "float32", help="Type on disk.", section="Teacher", choices=lambda: ["float32", "float16"]
    )
    bank_batch: int = option(
        8,
        help="Faces a teacher call (twice as many images); on a CPU few are faster than many.",
        section="Teacher",
        within=">=1",
    )
    bank_engine: str = option(
        "local",
        help="What fills the bank: this machine, or a Ray cluster (docs/guides/scale.md).",
        section="Teacher",
        choices=lambda: list(ENGINES),
        affects="machine",
    )
    bank_address: str | None = option(
        None,
        help="With --bank-engine ray: HOST:PORT of the cluster's head, auto or local. Default: "
        "RAY_ADDRESS, else local.",
        section="Teacher",
        affects="machine",
    )
    log_every: int = option(
        20,
        help="Steps between lines of metrics.jsonl.",
        section="Run",
        within=">=1",
        affects="machine",
    )
    save_every: int | str = option(
        "5min",
        help="Between two checkpoints: steps (500) or minutes (5min). Ctrl-C writes one too.",
        section="Run",
        within=">0",
        affects="machine",
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

    @property
    def numerics(self) -> Numerics:
        """In which numbers the student computes."""
        return Numerics(self.precision, self.channels_last)

    @property
    def wrapping(self) -> Wrapping:
        """What stands around the student while it is trained."""
        return Wrapping(self.compile, self.recompute, self.sync_norms)

    @property
    def intervals(self) -> Intervals:
        """When something is written."""
        return Intervals(self.log_every, self._save_rule(), self.val_every)

    def __post_init__(self) -> None:
        self._save_rule()

    def _save_rule(self) -> SaveRule:
        """Read when checkpoints are written.

        Raises:
            KitError: it is neither steps nor minutes.
        """
        text = str(self.save_every).strip()
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(min)?", text)
        number = float(found[1]) if found else 0.0
        if found is None or not 0 < number < 1e9 or not (found[2] or number.is_integer()):
            raise KitError(f"--save-every must be steps (500) or minutes (5min), not {text}")
        return SaveRule(0, number) if found[2] else SaveRule(int(number), 0.0)
