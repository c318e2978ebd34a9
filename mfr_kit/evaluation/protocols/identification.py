"""Who is it? Probes, some of them of strangers, are searched in a gallery of enrolled people: `--protocol identification`, `--enrol N`."""

import numpy as np

from mfr_kit.evaluation import identification as one_to_many
from mfr_kit.evaluation.bootstrap import interval
from mfr_kit.evaluation.faces import Faces
from mfr_kit.evaluation.identification import RANKS, Search, figure_of_fpir, figure_of_rank
from mfr_kit.evaluation.pairs import Pairs
from mfr_kit.evaluation.verification import CLAIM, COMPARE, Outcome, Plan, verify

TITLE = "probes searched in an enrolled gallery"
ORDER = 7  # in tables and reports
FPIR = 0.1  # measured besides the plan's rates: searches are fewer than comparisons

EVERYBODY = np.float32(-1)  # how reports write the threshold that accepts every cosine


def comparable(faces: Faces, plan: Plan) -> bool:
    """Say whether a number of photographs to enrol was named."""
    return plan.enrol > 0 and len(faces) > 0


def measure(faces: Faces, plan: Plan) -> Outcome:
    """Add `identification` to the result of `verify` on the same probes and gallery, compared one to one.

    `identification` holds `enrolled` (`people`, `photographs`, `each`), `searches` (`mated`, `non_mated`, `not_found` and `condition` of
    the probes), `cmc` (a row each rank: `rank`, `rate`, `interval`), and `open_set` (a row each FPIR: `fpir`, `fnir`, `interval`,
    `threshold`, `false_positives`, `note`; `fnir` None where too few searches have no mate).
    """
    each = max(plan.enrol, 1)
    gallery, probes = one_to_many.divide(faces, each, plan.seed)
    found = one_to_many.search(gallery, probes)
    fpirs = sorted({FPIR, *plan.fars}, reverse=True)
    resampled = one_to_many.resample(found, RANKS, _supported(found, fpirs), plan.resamples, plan.seed)
    outcome = verify(Pairs(probes, gallery), plan)
    about = {
        "enrolled": {"people": len(set(gallery.people)), "photographs": len(gallery), "each": each},
        "searches": {
            "mated": int(found.mated.sum()),
            "non_mated": int((~found.mated).sum()),
            "not_found": int((~probes.found).sum()),
            "condition": str(probes.conditions[0]),
        },
        "cmc": [
            {"rank": rank, "rate": float(one_to_many.hits(found, rank).mean()), "interval": _span(resampled, figure_of_rank(rank))}
            for rank in RANKS
        ],
        "open_set": [_open_set(found, fpir, _span(resampled, figure_of_fpir(fpir))) for fpir in fpirs],
    }
    return Outcome({**outcome.result, "identification": about}, outcome.resampled | resampled)


def _supported(found: Search, fpirs: list[float]) -> list[float]:
    return [fpir for fpir in fpirs if fpir * int((~found.mated).sum()) >= 1]


def _span(resampled: dict, figure: str) -> dict | None:
    return interval(resampled[figure]) if figure in resampled else None


def _open_set(found: Search, fpir: float, span: dict | None) -> dict:
    """Return one line of FNIR at FPIR: with `fnir` None and `note` saying why, where the set has too few searches without a mate."""
    nothing = {"fpir": fpir, "fnir": None, "interval": None, "threshold": None, "false_positives": None}
    searches = int((~found.mated).sum())
    if not _supported(found, [fpir]):
        smallest = f"the smallest FPIR they support is {1 / searches:.3g}" if searches else "they support no FPIR"
        return {**nothing, "note": f"FPIR {fpir:g} cannot be measured on {searches:,} searches without a mate: {smallest}"}
    threshold = one_to_many.threshold_at(found, fpir)
    false = one_to_many.false_positives(found, threshold)
    counted = {"threshold": float(max(threshold, EVERYBODY)), "false_positives": false}
    if false < CLAIM:
        return {**nothing, **counted, "note": f"only {false} false positives, a claim needs {CLAIM}"}
    weak = f"only {false} false positives, comparing models needs {COMPARE}" if false < COMPARE else ""
    fnir = 1 - float(one_to_many.returned(found, threshold).mean())
    return {"fpir": fpir, "fnir": fnir, "interval": span, **counted, "note": weak}
