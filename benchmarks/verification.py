"""Promise of the verification core: TAR at FAR over all pairs costs little more than multiplying
the embeddings.

    python benchmarks/verification.py [--repeats 9] [--faces 20000] [--tables] [--largest 100000]

`all_to_all`: counting, sweeping and placing the thresholds of all-against-all, against the bare
blocked product of the full square (which holds every pair twice). `--tables` adds growth up to
`--largest` faces with peak memory, and scikit-learn's roc_curve where installed. Exit code 1 if the
promise is missed.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.verification.comparisons import COLUMNS, ROWS, Pairs
from mfr_kit.evaluation.verification.rates import at_far, equal_error
from mfr_kit.evaluation.verification.scores import score
from mfr_kit.processes import peak_mib

SIZE, PER_PERSON, WANTED = 512, 8, 1.5
FARS = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6]


def make(count: int) -> Faces:
    """Unit embeddings of count / 8 people, about as far apart as a good recogniser's."""
    rng = np.random.default_rng(0)
    people = np.arange(count) // PER_PERSON
    wide = rng.standard_normal((count, SIZE), np.float32) * np.float32(1.1)
    wide += rng.standard_normal((people[-1] + 1, SIZE), np.float32)[people]
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    names = np.array([f"p{number:07d}" for number in people], object)
    photos = np.array([f"f{number:07d}" for number in range(count)], object)
    empty = np.full(count, "", object)
    return Faces(wide, names, photos, empty, np.ones(count, bool), photos, empty, photos)


def product(embeddings: np.ndarray) -> None:
    """The yardstick: every cosine of the full square, block by block, and nothing else."""
    buffer = np.empty((ROWS, COLUMNS), np.float32)
    for top in range(0, len(embeddings), ROWS):
        rows = embeddings[top : top + ROWS]
        for left in range(0, len(embeddings), COLUMNS):
            columns = embeddings[left : left + COLUMNS]
            np.matmul(
                rows,
                columns.T,
                out=buffer.reshape(-1)[: len(rows) * len(columns)].reshape(len(rows), -1),
            )


def measure(faces: Faces) -> list[int]:
    """What is promised: from labelled embeddings to TAR at five FARs and the EER."""
    scores = score(Pairs(faces), FARS)
    equal_error(scores)
    return [
        at_far(scores, far).true_accepts for far in FARS if far * scores.pairs.count.impostor >= 1
    ]


def seconds(work, *arguments) -> float:
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def promise(count: int, repeats: int) -> bool:
    faces = make(count)
    ratios, ours = [], []
    for _ in range(repeats):
        bare = seconds(product, faces.embeddings)
        ours.append(seconds(measure, faces))
        ratios.append(ours[-1] / bare)
    ratio = statistics.median(ratios)
    pairs = count * (count - 1) // 2
    print(f"# {count} x {SIZE}: {pairs:,} pairs in {statistics.median(ours):.2f} s")
    print(
        f'promise all_to_all ratio={ratio:.2f} wanted<={WANTED} yardstick="bare blocked GEMM of '
        f'the full {count} x {count} square"'
    )
    return ratio <= WANTED


def growth(largest: int) -> None:
    print("# faces      pairs  seconds  peak MiB above the embeddings")
    for count in sorted({*(size for size in (5000, 20000, 50000) if size < largest), largest}):
        done = subprocess.run(
            [sys.executable, __file__, "--one", str(count)],
            capture_output=True,
            text=True,
            check=True,
        )
        print(done.stdout, end="", flush=True)


def one(count: int) -> None:
    """Measure one size in a process of its own, for its peak memory."""
    faces = make(count)
    before = peak_mib()
    took = seconds(measure, faces)
    above = peak_mib() - before
    print(f"{count:>7} {count * (count - 1) // 2:>13,} {took:>8.1f} {above:>8.0f}")


def against_sklearn(count: int) -> None:
    try:
        from sklearn.metrics import roc_curve
    except ImportError:
        print("# scikit-learn is not installed: not compared with it")
        return
    faces = make(count)
    people = np.arange(count) // PER_PERSON

    def theirs() -> None:
        upper = np.triu_indices(count, 1)
        roc_curve(
            (people[:, None] == people[None, :])[upper],
            (faces.embeddings @ faces.embeddings.T)[upper],
        )

    ours, before = seconds(measure, faces), peak_mib()
    their = seconds(theirs)
    grown = peak_mib() - before
    print(
        f"# {count} faces: scikit-learn {their:.1f} s, ours {ours:.1f} s ({their / ours:.0f} "
        f"times), and {grown:.0f} MiB more memory"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--faces", type=int, default=20000)
    parser.add_argument("--largest", type=int, default=100000)
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--one", type=int)
    options = parser.parse_args()
    if options.one:
        one(options.one)
        return 0
    kept = promise(options.faces, options.repeats)
    if options.tables:
        growth(options.largest)
        against_sklearn(min(options.faces, 12000))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
