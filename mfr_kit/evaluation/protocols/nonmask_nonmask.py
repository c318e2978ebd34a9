"""Every unmasked face against every other: what a masked student must not lose."""

from mfr_kit.data.face_set.faceset import NONMASK
from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.published.challenge import MR_ALL_FAR
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.rates import Outcome, Plan, verify

TITLE = "unmasked against unmasked"
ORDER = 1  # in tables and reports


def pairs(faces: Faces) -> Pairs:
    """Return the comparisons of this protocol."""
    return Pairs(faces.under(NONMASK))


def comparable(faces: Faces, plan: Plan) -> bool:
    """Say whether the set has anything to compare."""
    return pairs(faces).possible


def measure(faces: Faces, plan: Plan) -> Outcome:
    """Compare the faces of a set; see `verify`."""
    return verify(pairs(faces), plan, MR_ALL_FAR)
