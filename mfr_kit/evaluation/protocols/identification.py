"""Who is it? Probes, some of them of strangers, are searched in a gallery of enrolled people:
`--protocol identification`, `--enrol N`.
"""

from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.search import identification as one_to_many
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.rates import Outcome, Plan, verify

TITLE = "probes searched in an enrolled gallery"
ORDER = 7  # in tables and reports
FPIR = 0.1  # measured besides the plan's rates: searches are fewer than comparisons


def comparable(faces: Faces, plan: Plan) -> bool:
    """Say whether a number of photographs to enrol was named."""
    return plan.enrol > 0 and len(faces) > 0


def measure(faces: Faces, plan: Plan) -> Outcome:
    """Add `identification` to the result of `verify` on the same probes and gallery, compared one
    to one.

    `identification` holds `enrolled` (`people`, `photographs`, `each`), `searches` (`mated`,
    `non_mated`, `not_found` and `condition` of the probes), `cmc` (a row each rank: `rank`, `rate`,
    `interval`), and `open_set` (a row each FPIR: `fpir`, `fnir`, `interval`, `threshold`,
    `false_positives`, `note`; `fnir` None where too few searches have no mate).
    """
    each = max(plan.enrol, 1)
    gallery, probes = one_to_many.divide(faces, each, plan.seed)
    found = one_to_many.search(gallery, probes)
    fpirs = sorted({FPIR, *plan.fars}, reverse=True)
    measured, resampled = one_to_many.figures(found, fpirs, plan.resamples, plan.seed)
    outcome = verify(Pairs(probes, gallery), plan)
    counted = one_to_many.counts(found, probes) | {"condition": str(probes.conditions[0])}
    about = {
        "enrolled": {"people": len(set(gallery.people)), "photographs": len(gallery), "each": each},
        "searches": counted,
        **measured,
    }
    return Outcome({**outcome.result, "identification": about}, outcome.resampled | resampled)
