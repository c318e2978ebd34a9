"""Promise of the trainer: a distillation step fed from the bank costs little more than the bare
step of the same student.

    python benchmarks/train_step.py [--repeats 9] [--batch 32] [--student mobilefacenet] [--width
    0.5] [--threads 0] [--loop] [--malloc]

`bank_step`: uint8 views to moved weights (targets and partners from the bank, FCD and RAD), against
forward, backward and optimiser of the same student on ready float tensors with a sum for a loss.
`--loop` adds the usual way, the teacher's forward pass in every step, and says how many times
slower it is; `--malloc` times the step before and after `models/memory.py` told the C library to
keep freed blocks. Peak memory beside it. Exit code 1 if the promise is missed.
"""

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch import nn

from mfr_kit.models import memory
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.weights import build_backbone
from mfr_kit.processes import peak_mib
from mfr_kit.training import networks
from mfr_kit.training.checkpoint import State
from mfr_kit.training.options import distill_options
from mfr_kit.training.prepare import Relations
from mfr_kit.training.ranks import Ranks
from mfr_kit.training.settings import Targets
from mfr_kit.training.step import Stepper
from mfr_kit.training.teacher import mining
from mfr_kit.training.teacher.bank import Bank
from mfr_kit.training.views.loader import ViewBatch

WANTED, SIZE = 1.10, 128
SIZES = 20_000, 5_000  # faces and people of a bank


class NoTeacher:
    """Stands where the bank makes a teacher needless; a call is an error."""

    embed = None


def make_state(options, people: int = SIZES[1]) -> State:
    """Make a student with random weights, and the head of the options' method."""
    torch.manual_seed(0)
    student = (
        build_backbone(options.student, SIZE, options.width)
        .to(memory_format=torch.channels_last)
        .train()
    )
    head = options.chosen_method.make_head(people, SIZE)
    return networks.make_state(
        student, (SIZE, SIZE), head, options.descent, options.layers, averaged=False
    )


def make_stepper(options, state: State, folder: Path, teacher, sizes=SIZES) -> Stepper:
    """Make a step over a made-up bank of the size of LFW's people."""
    rng, (faces, people) = np.random.default_rng(0), sizes
    path = folder / "embeddings.npy"
    np.save(path, rng.standard_normal((faces, 2, SIZE), np.float32))
    stored, labels = (
        Bank(folder, np.load(path, mmap_mode="r")),
        np.sort(rng.permutation(faces) % people),
    )
    prototypes, partners = mining.prototypes(stored, labels), None
    if options.chosen_method.mines:
        own = options.of_method()
        draw = mining.Draw(own.partners, own.mining, own.neighbours, 0)
        partners = mining.Partners(stored, labels, prototypes, draw)
    network = nn.Sequential(state.student, state.projector)
    relations = Relations(stored, labels, prototypes, partners)
    return Stepper(
        network,
        options.chosen_method,
        relations,
        teacher,
        None,
        Ranks(),
        torch.device("cpu"),
        options.numerics,
        options.targets,
        options.regularisation,
    )


def make_views(batch: int) -> ViewBatch:
    """Make a batch of noise, of faces of the bank."""
    rng = np.random.default_rng(1)
    images = torch.from_numpy(rng.integers(0, 256, (batch, 112, 112, 3), dtype=np.uint8))
    return ViewBatch(
        images,
        rng.integers(0, SIZES[0], batch),
        np.zeros(batch, np.int64),
        rng.integers(0, 2, batch),
        np.zeros(batch, np.int64),
    )


def bare(state: State, planes: torch.Tensor) -> None:
    state.optimiser.zero_grad(set_to_none=True)
    state.student(planes).square().sum().backward()
    state.optimiser.step()


def seconds(work, *arguments) -> float:
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--student", default="mobilefacenet")
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--loop", action="store_true")
    parser.add_argument("--malloc", action="store_true")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    options = distill_options()(
        data=Path("-"), out=Path("-"), student=given.student, width=given.width, learning_rate=1e-6
    )
    planes = torch.randn(given.batch, 3, 112, 112).contiguous(memory_format=torch.channels_last)
    views = make_views(given.batch)
    with tempfile.TemporaryDirectory() as folder:
        yardstick, ours = make_state(options), make_state(options)
        stepper = make_stepper(options, ours, Path(folder), NoTeacher())
        bare(yardstick, planes)

        def step() -> None:  # the rows of the bank are read here, not ahead
            stepper.step(ours, [stepper.feeder.read(views)], False)

        step()
        if given.malloc:
            before = statistics.median(seconds(step) for _ in range(given.repeats))
            kept = memory.keep_freed()
            step()
            after = statistics.median(seconds(step) for _ in range(given.repeats))
            rates = given.batch / before, given.batch / after
            print(
                f"freed blocks given back: {rates[0]:.1f} images/s, kept: {rates[1]:.1f} "
                f"images/s (possible: {kept})"
            )
        memory.keep_freed()
        pairs = [(seconds(bare, yardstick, planes), seconds(step)) for _ in range(given.repeats)]
        ratio = statistics.median(mine / base for base, mine in pairs)
        rate = given.batch / statistics.median(mine for _, mine in pairs)
        peak = peak_mib() or 0.0
        print(f"{given.student} x{given.width:g}: {rate:.1f} images/s, peak {peak:.0f} MiB")
        if given.loop:
            looped = replace(
                stepper,
                targets=Targets("same"),
                teacher=load_embedder("sface", threads=given.threads),
            )

            def step_in_loop() -> None:
                looped.step(ours, [looped.feeder.read(views)], False)

            looped_s = statistics.median(seconds(step_in_loop) for _ in range(3))
            slower = rate / given.batch * looped_s
            print(f"with SFace in the loop: {slower:.1f} times the bank's step")
    print(
        f'promise bank_step ratio={ratio:.3f} wanted<={WANTED:.2f} yardstick="forward, backward '
        'and optimiser of the same student"'
    )
    return int(ratio > WANTED)


if __name__ == "__main__":
    sys.exit(main())
