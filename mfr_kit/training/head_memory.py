"""What a classification head takes of a rank's memory, computed; tests measure the same."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from mfr_kit.training.settings import HeadSpec

GPUS_GB = (16, 24, 40, 80)
FEW = 0.1  # of the negatives, in a table that shows what drawing saves
# Matrices as large as the logits (faces x rows) that are alive at the peak: float32 but for masks
LOGITS_WHOLE, LOGITS_SHARDED = 5.0, 1.5
# of kd, whose rows are the teacher's prototypes: the logits of student and teacher
LOGITS_FIXED_WHOLE, LOGITS_FIXED_SHARDED = 7.0, 3.0
# Beside the gradient, matrices as large as the rows that a step looks at: the normalised rows and
# what their gradient goes through; the rows themselves where they are drawn
WORK, WORK_DRAWN = 4.0, 5.0


@dataclass(frozen=True)
class HeadMemory:
    """MiB of float32 numbers on each rank."""

    head: float
    gradient: float
    optimiser: float
    logits: float  # all copies of them at the peak
    work: float  # normalised rows, and their gradients on the way back

    @property
    def total(self) -> float:
        """Return MiB of all together; logits and work do not peak at the same time, so this is
        more than is ever taken.
        """
        return sum(getattr(self, entry.name) for entry in fields(self))


def head_memory(
    classes: int,
    size: int,
    batch: int,
    world: int,
    spec: HeadSpec,
    optimiser: str,
    trained: bool = True,
) -> HeadMemory:
    """Compute what a head takes of a rank.

    Args:
        classes: people C.
        size: embedding size D.
        batch: faces a rank.
        world: ranks.
        spec: whether and how they share the head.
        optimiser: "sgd", which keeps one number a weight, or "adamw", which keeps two.
        trained: whether the rows are centres that learn; else they are prototypes, without gradient
            and moments, and without a draw of negatives.
    """
    rows = -(-classes // world) if spec.sharded else classes
    # of the faces of all ranks, as many as one has are of a shard's people, on average
    active = rows if spec.negatives == 1 else min(rows, spec.negatives * rows + batch)
    faces = batch * world if spec.sharded else batch
    if not trained:
        copies = LOGITS_FIXED_SHARDED if spec.sharded else LOGITS_FIXED_WHOLE
        return HeadMemory(rows * size * 4 / 2**20, 0, 0, copies * faces * rows * 4 / 2**20, 0)
    logits = LOGITS_SHARDED if spec.sharded else LOGITS_WHOLE
    moments = 2 if optimiser == "adamw" else 1
    return HeadMemory(
        *(
            numbers * 4 / 2**20
            for numbers in (
                rows * size,
                active * size,
                moments * rows * size,
                logits * faces * active,
                (WORK if spec.negatives == 1 else WORK_DRAWN) * active * size,
            )
        )
    )


def tabulate(
    classes: int,
    size: int,
    batch: int,
    worlds: Sequence[int],
    spec: HeadSpec,
    optimiser: str,
    trained: bool = True,
) -> str:
    """Write what a rank takes with the head whole, shared by so many ranks, and with few
    negatives, in MiB; and which GPUs have less memory than that.

    Arguments are those of `head_memory`; of the `worlds`, numbers of ranks, those above `classes`
    are left out.
    """
    few = spec.negatives if spec.negatives < 1 else FEW
    whole = head_memory(classes, size, batch, 1, HeadSpec(), optimiser, trained)
    rows = [("whole, any", whole)]
    shared = replace(spec, sharded=True)
    for negatives in (1.0, few) if trained else (1.0,):
        asked = replace(shared, negatives=negatives)
        name = "sharded" if negatives == 1 else f"--negatives {negatives:g}"
        rows += [
            (
                f"{name}, {world}",
                head_memory(classes, size, batch, world, asked, optimiser, trained),
            )
            for world in worlds
            if world <= classes
        ]
    parts = [entry.name for entry in fields(HeadMemory)]
    heading = "".join(f"{name:>10}" for name in (*parts, "together"))
    lines = [f"{'head, ranks':<20}{heading}  of the whole  too much for, GB"]
    for name, memory in rows:
        figures = [*(getattr(memory, part) for part in parts), memory.total]
        small = [str(size_gb) for size_gb in GPUS_GB if memory.total > size_gb * 1024]
        lines.append(
            f"{name:<20}"
            + "".join(f"{figure:>10,.0f}" for figure in figures)
            + f"{memory.total / whole.total:>14.1%}  {', '.join(small) or '-'}"
        )
    return "\n".join(lines)
