"""Which differences of masked faces go with SFace's errors: the second half of worn_tables.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.markdown_rows import line, rule
from mfr_kit.data.face_set.faceset import MASK, NONMASK, FaceSet
from mfr_kit.evaluation.inputs.embed import cache_folder, embed_set
from mfr_kit.evaluation.inputs.faces import from_set
from mfr_kit.evaluation.verification.bootstrap import draws, interval
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.rates import at_far
from mfr_kit.evaluation.verification.scores import score
from mfr_kit.models.embedders import load_embedder

RESAMPLES, FARS = 500, (1e-2, 1e-3)
GROUPS = 3  # of comparisons, by what is measured of their faces


def error_tables(press: FaceSet, rows: list[dict]) -> dict[str, str]:
    """SFace's masked against bare comparisons of rmfrd-dev: `errors`, in thirds by what is measured
    of their faces, at the thresholds of all; `together`, all of it in one regression.
    """
    model = load_embedder("sface")
    faces = from_set(embed_set(model, press, cache=cache_folder()), press)
    pairs = Pairs(faces.under(MASK), faces.under(NONMASK))
    scores = score(pairs, FARS)
    limits = [at_far(scores, far).threshold for far in FARS]
    genuine = np.concatenate([_genuine(block) for block in pairs.blocks()])
    places, cosines = genuine[:, :2].astype(int), genuine[:, 2]
    people = pairs.probe_people[places[:, 0]]
    measured = {row["key"]: row for row in rows if row["found"]}
    chosen = [
        (measured[pairs.probe.sources[i]], measured[pairs.gallery.sources[j]])
        for i, j in places.tolist()
    ]
    weights = draws(len(pairs.people), RESAMPLES, 0)
    titles = ["comparisons by", "range", "genuine", "people", "mean cosine"]
    lines = [line([*titles, *(f"TAR @ {far:g}" for far in FARS)]), rule(5 + len(FARS))]
    everything = np.ones(len(cosines), bool)
    lines.append(_group("all", "", everything, cosines, people, limits, weights))
    factors = {}
    for title, form, measure in FACTORS:
        found = factors[title] = np.array([measure(*pair) for pair in chosen], float)
        edges = np.quantile(found, np.linspace(0, 1, GROUPS + 1))
        for number in range(GROUPS):
            low, high = edges[number : number + 2]
            last = number == GROUPS - 1
            inside = (found >= low) & ((found <= high) if last else (found < high))
            if not inside.any():
                continue
            span = f"{form.format(low)} to {form.format(high)}"
            lines.append(_group(title, span, inside, cosines, people, limits, weights))
    together = _together(factors, cosines, people, weights)
    return {"errors": "\n".join(lines), "together": together}


def _together(
    factors: dict[str, np.ndarray], cosines: np.ndarray, people: np.ndarray, weights: np.ndarray
) -> str:
    """What one standard deviation of each measure does to a genuine cosine when the others stay:
    weighted least squares, with intervals over people.
    """
    columns = np.column_stack([*factors.values(), np.ones(len(cosines))])
    columns[:, :-1] = (columns[:, :-1] - columns[:, :-1].mean(axis=0)) / (
        columns[:, :-1].std(axis=0) + 1e-9
    )

    def fit(weight: np.ndarray) -> np.ndarray:
        root = np.sqrt(weight)[:, None]
        return np.linalg.lstsq(columns * root, cosines * root[:, 0], rcond=None)[0]

    whole = fit(np.ones(len(cosines)))
    again = np.array([fit(counts[people].astype(float)) for counts in weights])
    explained = 1 - np.var(cosines - columns @ whole) / np.var(cosines)
    lines = [line(["per standard deviation", "cosine"]), rule(2)]
    for number, title in enumerate(factors):
        ends = interval(again[:, number])
        value = f"{whole[number]:+.3f} ({ends['low']:+.3f} to {ends['high']:+.3f})"
        lines.append(line([title, value]))
    lines.append(line(["variance of the cosines explained", f"{100 * explained:.0f} %"]))
    return "\n".join(lines)


FACTORS = (
    ("finest detail of the poorer face, px", "{:.0f}", lambda a, b: min(a["detail"], b["detail"])),
    ("detail of the masked face, px", "{:.0f}", lambda a, b: a["detail"]),
    ("turn of the masked face, degrees", "{:.0f}", lambda a, b: a["yaw"]),
    ("turn of the bare face, degrees", "{:.0f}", lambda a, b: b["yaw"]),
    ("scatter of the masked face's landmarks, px", "{:.1f}", lambda a, b: a["moved"]),
    ("scatter of the bare face's landmarks, px", "{:.1f}", lambda a, b: b["moved"]),
    ("masked frame outside the photograph", "{:.2f}", lambda a, b: a["beyond"]),
    ("detector's score of the masked face", "{:.2f}", lambda a, b: a["score"]),
    ("row where its cover begins", "{:.0f}", lambda a, b: a["edge"]),
    ("difference in brightness", "{:.0f}", lambda a, b: abs(a["brightness"] - b["brightness"])),
    ("difference in contrast", "{:.0f}", lambda a, b: abs(a["contrast"] - b["contrast"])),
)


def _genuine(block) -> np.ndarray:
    return np.column_stack([block.rows, block.columns, block.genuine])


def _group(
    title: str,
    span: str,
    inside: np.ndarray,
    cosines: np.ndarray,
    people: np.ndarray,
    limits: list[np.float32],
    weights: np.ndarray,
) -> str:
    """One line: how the genuine comparisons of a group fare, with intervals over people."""
    each = weights[:, people[inside]]
    cells = [f"{inside.sum():,}", str(len(np.unique(people[inside])))]
    cells.append(f"{cosines[inside].mean():.3f}")
    for limit in limits:
        accepted = cosines[inside] >= limit
        with np.errstate(invalid="ignore"):
            resampled = (each * accepted).sum(axis=1) / each.sum(axis=1)
        ends = interval(resampled)
        cells.append(
            f"{100 * accepted.mean():.1f} ({100 * ends['low']:.0f} to {100 * ends['high']:.0f})"
        )
    return line([title, span, *cells])
