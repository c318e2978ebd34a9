"""What a step of every method costs beside one of FCD alone, with the same student on the same
batches: the cost that a table of rivals has to name.

    python benchmarks/method_steps.py [METHOD ...] [--repeats 15] [--batch 64] [--student
    mobilefacenet] [--width 1] [--people 5000] [--threads 0]

Steps of FCD and of the method take turns, so that whatever else the machine does falls on both.
The ratio is the median over the pairs, with its quartiles. One promise is checked, of the method
that the kit is about: `coupleface_step`. Exit code 1 if it is missed.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from benchmarks.train_step import NoTeacher, make_state, make_stepper, make_views, seconds
from mfr_kit import registry
from mfr_kit.models import memory
from mfr_kit.training.method import METHODS
from mfr_kit.training.options import distill_options

WANTED, YARDSTICK, PROMISED = 1.10, "fcd", "coupleface"
FACES_EACH = 4  # of a person


def make_step(name: str, given: argparse.Namespace, folder: Path):
    """Prepare a method's step over a made-up bank: a callable, which can be timed."""
    options = distill_options()(
        data=Path("-"),
        out=Path("-"),
        method=name,
        student=given.student,
        width=given.width,
        learning_rate=1e-6,
        freeze_bn=True,  # statistics of noise shall not move the student
    )
    sizes = FACES_EACH * given.people, given.people
    state = make_state(options, given.people)
    stepper = make_stepper(options, state, folder, NoTeacher(), sizes)
    people = np.random.default_rng(2).permutation(given.people)[: -(-given.batch // FACES_EACH)]
    rows = (FACES_EACH * people[:, None] + np.arange(FACES_EACH)).ravel()[: given.batch]
    views = replace(make_views(given.batch), indices=rows)  # with positives, for those that pair

    def step() -> None:
        stepper.step(state, [stepper.feeder.read(views)], False)
        state.step += 1

    step()
    return step


def main() -> int:
    known = registry.names(METHODS)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("methods", nargs="*", metavar="METHOD")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--student", default="mobilefacenet")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--people", type=int, default=5_000)
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    memory.keep_freed()
    chosen = [name for name in given.methods or known if name != YARDSTICK]
    ratios = {}
    print("| method | a step, times one of FCD alone | quartiles |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        yardstick = make_step(YARDSTICK, given, Path(folder))
        for name in chosen:
            step = make_step(name, given, Path(folder))
            pairs = [(seconds(yardstick), seconds(step)) for _ in range(given.repeats)]
            low, ratios[name], high = np.quantile(
                [own / base for base, own in pairs], (0.25, 0.5, 0.75)
            )
            print(f"| {name} | {ratios[name]:.2f} | {low:.2f} to {high:.2f} |", flush=True)
    if PROMISED not in ratios:
        return 0
    print(
        f"promise {PROMISED}_step ratio={ratios[PROMISED]:.3f} wanted<={WANTED:.2f} "
        'yardstick="a step of FCD alone"'
    )
    return int(ratios[PROMISED] > WANTED)


if __name__ == "__main__":
    sys.exit(main())
