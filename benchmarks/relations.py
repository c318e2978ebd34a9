"""How much RAD weighs beside FCD, and how far masks move the alignment: the tables of
docs/reference/method.md. No promises, only figures.

    python benchmarks/relations.py SET --bank FOLDER [--views 96]
        gradient norm of RAD over that of FCD, by mining and K
    python benchmarks/relations.py SET --drift
        the drift of SET's twins, beside the kit's constants

SET is a face set of training people; the bank is filled if it is not there. The student is the
teacher itself, seeing masked views: where a student that starts from its teacher's weights stands
at its first step.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.losses import coupleface, fcd
from mfr_kit.masks import library
from mfr_kit.models.embedders import load_embedder
from mfr_kit.seeding import rng_for
from mfr_kit.training.teacher import bank, mining
from mfr_kit.training.views import drift
from mfr_kit.training.views.view import ViewRecipe, Views

SAMPLES = 20_000  # draws of the constants


def weights(faces: FaceSet, folder: Path, count: int, teacher_name: str) -> None:
    """Print the share of active relations and the ratio of gradient norms at alpha_neg = 1."""
    drifts, clean = drift.measure_twins(faces), faces.clean()
    teacher = load_embedder(teacher_name)
    stored = bank.fill(folder, clean, teacher)
    labels = np.unique(clean.identities.astype(str), return_inverse=True)[1].astype(np.int64)
    prototypes = mining.prototypes(stored, labels)
    rows = rng_for(0).choice(len(clean), count, replace=False)
    views = Views(ViewRecipe(), library.load(), drifts)
    drawn = [
        views.draw(clean.image(row), clean.points(row), rng_for(0, 0, int(row))) for row in rows
    ]
    student = torch.from_numpy(teacher.embed(np.stack([view.image for view in drawn])))
    target = torch.from_numpy(stored.rows(rows, np.array([int(view.mirrored) for view in drawn])))
    cosines, masked = (
        torch.cosine_similarity(student, target).numpy(),
        np.array([view.masked for view in drawn]),
    )
    near = (
        f"cosine to the target {cosines[masked].mean():.2f} masked, "
        f"{cosines[~masked].mean():.2f} bare"
    )
    print(f"{len(prototypes)} identities, {count} views; {near}")
    print(
        "\n| mining | K | active | normalise active | normalise all |\n| --- | --- | --- | --- | "
        "--- |"
    )
    for side in ("teacher", "student", "both"):
        for neighbours in (20, 100):
            partners = mining.Partners(
                stored, labels, prototypes, mining.Draw("image", side, neighbours, 0)
            )
            chosen = partners.of(
                student, torch.from_numpy(labels[rows]), np.zeros(count, np.int64), rows
            )
            found = [_ratio(student, target, chosen, normalise) for normalise in ("active", "all")]
            print(
                f"| {side} | {neighbours} | {100 * found[0][1]:.1f} % | {found[0][0]:.2f} | "
                f"{found[1][0]:.3f} |"
            )


def _ratio(
    student: torch.Tensor, target: torch.Tensor, partners: torch.Tensor, normalise: str
) -> tuple[float, float]:
    leaf = student.clone().requires_grad_()
    loss, active = coupleface.compare_relations(
        leaf, target, partners, tolerance=0.03, form="hinge", normalise=normalise
    )
    ours = torch.autograd.grad(loss, leaf)[0].norm()
    base = torch.autograd.grad(fcd.feature_consistency_loss(leaf, target), leaf)[0].norm()
    return float(ours / base), float(active)


def drifts_of(faces: FaceSet) -> None:
    """Print the measured drifts of a set beside draws of the constants."""
    found = drift.measure_twins(faces)
    rng = rng_for(0)
    centre = np.array([drift.CENTRE.real, drift.CENTRE.imag, 1.0])
    constants = []
    for _ in range(SAMPLES):
        matrix = drift.from_constants(rng, 1.0)
        turn, shift = complex(matrix[0, 0], matrix[1, 0]), matrix @ centre - centre[:2]
        constants.append((np.log(abs(turn)), np.angle(turn), *shift))
    print(
        "| | scale | rotation | shift x, y (px) | shift in all: median, 95 %, 99 % |\n| --- | "
        "--- | --- | --- | --- |"
    )
    for name, table in (
        (f"{faces.name}, {0 if found is None else len(found)} twins", found),
        ("the constants", np.array(constants)),
    ):
        if table is None:
            print(f"| {name}: too few | | | | |")
            continue
        length = np.percentile(np.hypot(table[:, 2], table[:, 3]), [50, 95, 99])
        scale = f"{np.exp(table[:, 0]).mean():.3f} +- {np.exp(table[:, 0]).std():.3f}"
        turned, moved = (
            f"+- {np.degrees(table[:, 1].std()):.1f} degrees",
            f"+- {table[:, 2].std():.1f}, {table[:, 3].std():.1f}",
        )
        print(
            f"| {name} | {scale} | {turned} | {moved} | {length[0]:.1f}, {length[1]:.1f}, "
            f"{length[2]:.1f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", type=Path)
    parser.add_argument("--bank", type=Path)
    parser.add_argument("--teacher", default="sface")
    parser.add_argument("--views", type=int, default=96)
    parser.add_argument("--drift", action="store_true")
    given = parser.parse_args()
    faces = FaceSet.open(given.set)
    if given.drift:
        drifts_of(faces)
    if given.bank:
        weights(faces, given.bank, given.views, given.teacher)
    if not (given.drift or given.bank):
        parser.error("say --drift, --bank FOLDER or both")


if __name__ == "__main__":
    main()
