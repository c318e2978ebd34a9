"""Every masked probe against every unmasked face, the challenge's Mask set; a synthetic twin
never meets the photograph it was made of.
"""

from mfr_kit.data.face_set.faceset import MASK, NONMASK
from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.published.challenge import MASK_FAR
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.rates import Outcome, Plan, verify

TITLE = "masked against unmasked"
ORDER = 2  # in tables and reports


def pairs(faces: Faces) -> Pairs:
    """Return the comparisons of this protocol."""
    return Pairs(faces.under(MASK), faces.under(NONMASK))


def comparable(faces: Faces, plan: Plan) -> bool:
    """Say whether the set has anything to compare."""
    return pairs(faces).possible


def measure(faces: Faces, plan: Plan) -> Outcome:
    """Compare the faces of a set; see `verify`."""
    return verify(pairs(faces), plan, MASK_FAR)
