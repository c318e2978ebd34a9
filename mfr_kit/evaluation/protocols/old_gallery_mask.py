"""Masked probes of a new model against templates that another model enrolled: what an operator
faces who does not enrol anew.
"""

from mfr_kit.data.face_set.faceset import MASK, NONMASK
from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.verification.comparisons import against
from mfr_kit.evaluation.verification.rates import Outcome, Plan, verify

TITLE = "masked probe against the enrolled gallery"
ORDER = 21  # in tables and reports


def comparable(faces: Faces, plan: Plan) -> bool:
    """Say whether a gallery was enrolled and there is anything to compare with it."""
    return (
        plan.gallery is not None
        and against(faces.under(MASK), plan.gallery.under(NONMASK)).possible
    )


def measure(faces: Faces, plan: Plan) -> Outcome:
    """Compare the probes with the gallery; a face never meets the template of the same
    photograph.
    """
    return verify(against(faces.under(MASK), plan.gallery and plan.gallery.under(NONMASK)), plan)
