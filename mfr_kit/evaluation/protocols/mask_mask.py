"""Every masked face against every other; two twins of one photograph never meet."""

from mfr_kit.data.face_set.faceset import MASK
from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.rates import Outcome, Plan, verify

TITLE = "masked against masked"
ORDER = 3  # in tables and reports


def pairs(faces: Faces) -> Pairs:
    """Return the comparisons of this protocol."""
    return Pairs(faces.under(MASK))


def comparable(faces: Faces, plan: Plan) -> bool:
    """Say whether the set has anything to compare."""
    return pairs(faces).possible


def measure(faces: Faces, plan: Plan) -> Outcome:
    """Compare the faces of a set; see `verify`."""
    return verify(pairs(faces), plan)
