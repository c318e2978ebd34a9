"""IJB-B and IJB-C, 1:N: mixed templates searched in each of the two galleries, and in both at once.

The subjects of the other gallery are the strangers that FPIR counts. In both galleries at once
everybody has a mate: ranks only. Source: insightface, recognition/_evaluation_/ijb/ijb_1n.py for
the union; Maze et al., IARPA Janus Benchmark-C (ICB 2018) for the two galleries. A search counts
for FNIR where the right subject comes first and reaches the threshold.
"""

from dataclasses import replace

import numpy as np

from mfr_kit.data.verification_sets.ijb import Enrolment
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.faces import Faces, concatenate
from mfr_kit.evaluation.search.identification import (
    counts,
    figure_in,
    figure_of_fpir,
    figure_of_rank,
    figures,
    search,
)
from mfr_kit.evaluation.verification.bootstrap import interval

FPIRS = (0.1, 0.01)


def search_templates(
    faces: Faces,
    numbers: np.ndarray,
    galleries: dict[str, Enrolment],
    probes: Enrolment,
    resamples: int,
    seed: int,
) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Measure 1:N identification.

    Args:
        faces: T merged templates, in the order of `numbers`.
        numbers: (T,) ascending names of the templates.
        galleries: by name, see `data.ijb.open_searches`.
        probes: who is searched for.
        resamples: over the subjects of the probes; 0 for no intervals.
        seed: of the resamples.
    Returns:
        a row each gallery, of their mean, and of both galleries at once: `gallery`, `enrolled`,
        `searches`, `cmc` and `open_set` (see `identification.figures`); and (resamples,) values by
        figure.
    Raises:
        KitError: no probe shows anybody of a gallery.
    """
    side = _side(faces, numbers, probes)
    sides = {name: _side(faces, numbers, numbered) for name, numbered in galleries.items()}
    both = " and ".join(sides)
    rows = []
    resampled: dict[str, np.ndarray] = {}
    for name, gallery in {**sides, f"{both} at once": concatenate(*sides.values())}.items():
        found = search(gallery, side)
        if not found.mated.any():
            raise KitError(
                f"1:N: none of the {len(side)} probe templates shows a subject of gallery {name}"
            )
        measured, values = figures(found, list(FPIRS) if name in sides else [], resamples, seed)
        enrolled = {"people": len(set(gallery.people)), "photographs": len(gallery), "each": None}
        rows.append(
            {"gallery": name, "enrolled": enrolled, "searches": counts(found, side), **measured}
        )
        resampled |= {figure_in(figure, name): resample for figure, resample in values.items()}
    mean, values = _mean(rows[:2], f"mean of {both}", resampled)
    return [*rows[:2], mean, rows[2]], resampled | values


def _side(faces: Faces, numbers: np.ndarray, some: Enrolment) -> Faces:
    rows = faces.select(np.searchsorted(numbers, some.templates))
    return replace(
        rows, people=np.array([f"subject {subject}" for subject in some.subjects.tolist()], object)
    )


def _mean(
    rows: list[dict], name: str, resampled: dict[str, np.ndarray]
) -> tuple[dict, dict[str, np.ndarray]]:
    """Average the figures of two galleries, whose resamples draw the same subjects; None where
    one of the two is not claimed.
    """
    values: dict[str, np.ndarray] = {}

    def average(figure: str, pair: tuple[dict, dict], rate: str) -> dict:
        resample = [
            resampled[known]
            for known in (figure_in(figure, row["gallery"]) for row in rows)
            if known in resampled
        ]
        claimed = all(line[rate] is not None for line in pair)
        if claimed and len(resample) == len(rows):
            values[figure_in(figure, name)] = np.asarray(sum(resample) / len(resample))
        known = values.get(figure_in(figure, name))
        return {
            rate: sum(line[rate] for line in pair) / 2 if claimed else None,
            "interval": None if known is None else interval(known),
        }

    pairs = list(zip(*(row["cmc"] for row in rows), strict=True))
    cmc = [
        {"rank": pair[0]["rank"], **average(figure_of_rank(pair[0]["rank"]), pair, "rate")}
        for pair in pairs
    ]
    open_set = [
        {
            "fpir": pair[0]["fpir"],
            **average(figure_of_fpir(pair[0]["fpir"]), pair, "fnir"),
            "threshold": None,
            "false_positives": min(line["false_positives"] or 0 for line in pair),
            "note": next((line["note"] for line in pair if line["note"]), ""),
        }
        for pair in zip(*(row["open_set"] for row in rows), strict=True)
    ]
    total = {kind: sum(row["enrolled"][kind] for row in rows) for kind in ("people", "photographs")}
    searches = {kind: sum(row["searches"][kind] for row in rows) for kind in rows[0]["searches"]}
    about = {"gallery": name, "enrolled": {**total, "each": None}, "searches": searches}
    return {**about, "cmc": cmc, "open_set": open_set}, values
