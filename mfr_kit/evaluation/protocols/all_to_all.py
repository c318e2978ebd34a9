"""Every face against every other whatever its condition, as the challenge's Children, race and
MR-All sets ask; with rows by group.

On a set without masks this is nonmask-nonmask, so it is measured when it is asked for, or when
groups are named.
"""

from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.published.challenge import MR_ALL_FAR
from mfr_kit.evaluation.verification.bootstrap import resample
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.groups import by_person
from mfr_kit.evaluation.verification.rates import Outcome, Plan, acquisition, row, verify
from mfr_kit.evaluation.verification.scores import score

TITLE = "every face against every other"
ORDER = 5  # in tables and reports


def pairs(faces: Faces) -> Pairs:
    """Return the comparisons of this protocol."""
    return Pairs(faces)


def comparable(faces: Faces, plan: Plan) -> bool:
    """Say whether groups are named and there is anything to compare."""
    return plan.groups is not None and pairs(faces).possible


def measure(faces: Faces, plan: Plan) -> Outcome:
    """Add `by_group` to the result of `verify`: of each group `comparisons`, `faces` and
    `tar_at_far`, among its own people only.
    """
    outcome = verify(pairs(faces), plan, MR_ALL_FAR)
    if plan.groups is None:
        return outcome
    rows = [
        {"group": name, **_group(pairs(some), plan)} for name, some in by_person(faces, plan.groups)
    ]
    return Outcome({**outcome.result, "by_group": rows}, outcome.resampled)


def _group(inside: Pairs, plan: Plan) -> dict:
    """Measure one group; FARs are shares of its own impostor comparisons, so every group has its
    own thresholds.
    """
    count = inside.count
    about = {
        "comparisons": {"genuine": count.genuine, "impostor": count.impostor},
        "faces": acquisition(inside),
    }
    if not inside.possible:
        return {
            **about,
            "tar_at_far": [],
            "note": "no genuine or no impostor comparison of faces that were found",
        }
    scores = score(inside, plan.fars)
    resampled = resample(scores, list(plan.fars), plan.resamples, plan.seed)
    return {
        **about,
        "tar_at_far": [row(scores, far, resampled.get(far)) for far in plan.fars],
        "note": "",
    }
