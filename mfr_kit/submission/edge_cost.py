"""What an edge file costs in accuracy, beside the float32 file it was made of."""

from dataclasses import dataclass

import numpy as np

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation import compare
from mfr_kit.evaluation.compare import evaluate_set
from mfr_kit.evaluation.inputs.embed import embed_set
from mfr_kit.evaluation.inputs.faces import from_set
from mfr_kit.evaluation.report.cells import align, difference_line, tar_cell
from mfr_kit.evaluation.verification.rates import DEFAULT_FARS, Plan
from mfr_kit.models.embedders import Embedder

RESAMPLES = 1000
FLOAT32 = "float32"


@dataclass(frozen=True)
class TarPair:
    """TAR at a FAR under a protocol, of the float32 file and of the edge file, each in [0, 1]."""

    protocol: str
    far: float
    float32: float
    edge: float


def compare_files(
    plain: np.ndarray, small: np.ndarray, kind: str, faceset: FaceSet
) -> dict[str, dict]:
    """Measure both files on a face set, with intervals over people and paired ones of the
    difference.

    Args:
        plain: (len(faceset), D) embeddings of the float32 file.
        small: those of the edge file.
        kind: what the edge file is called in the results; the other one is "float32".
        faceset: all of it is measured.
    Returns:
        `compare.side_by_side` of the two, by protocol.
    Raises:
        KitError: nothing to compare: no person has two photographs.
    """
    plan = Plan(DEFAULT_FARS, RESAMPLES)
    return compare.side_by_side(
        {
            name: compare.measure(from_set(rows, faceset), plan)
            for name, rows in ((FLOAT32, plain), (kind, small))
        }
    )


def tar_pairs(plain: Embedder, small: Embedder, faceset: FaceSet) -> list[TarPair]:
    """Measure both files without intervals; nothing where the set is too small for a claim."""
    try:
        results = [
            evaluate_set(embed_set(embedder, faceset), faceset) for embedder in (plain, small)
        ]
    except KitError:
        # nobody has two photographs: nothing to compare, and the cosines stand all the same
        return []
    return [
        TarPair(protocol, ours["far"], ours["tar"], theirs["tar"])
        for protocol, result in results[0].items()
        for ours, theirs in zip(
            result["tar_at_far"], results[1][protocol]["tar_at_far"], strict=True
        )
        if ours["tar"] is not None and theirs["tar"] is not None
    ]


def describe(protocols: dict[str, dict], kind: str) -> list[str]:
    """Lay out what `compare_files` found for a terminal."""
    notes: dict[str, str] = {}
    lines = []
    for name, entry in protocols.items():
        results = entry["models"]
        lines.append(f"{name}: {entry['title']}")
        fars = [row["far"] for row in results[kind]["tar_at_far"]]
        rows = [["model", *(f"TAR@FAR={far:g}" for far in fars)]]
        rows += [
            [model, *(tar_cell(row, notes) for row in results[model]["tar_at_far"])]
            for model in (FLOAT32, kind)
        ]
        lines += align(rows) + [difference_line(row) for row in entry["differences"]]
        missing = [far for far in fars if far not in {row["far"] for row in entry["differences"]}]
        if missing and name != "fixed-threshold":
            rates = ", ".join(f"{far:g}" for far in missing)
            lines.append(f"  FAR {rates}: too few false accepts to compare the two files")
    return lines + [f"{mark} {note}" for note, mark in notes.items()]
