"""Masks drawn on the unmasked faces of the set, against its unmasked faces: `--protocol
synthetic-mask`, for sets without masks.
"""

from mfr_kit.data.face_set.faceset import NONMASK
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.rates import Outcome, Plan, verify

TITLE = "drawn masks against unmasked"
ORDER = 6  # in tables and reports


def comparable(faces: Faces, plan: Plan) -> bool:
    """Say whether masks were drawn and there is anything to compare."""
    return plan.masked is not None and Pairs(plan.masked, faces.under(NONMASK)).possible


def measure(faces: Faces, plan: Plan) -> Outcome:
    """Add `draw` to the result of `verify`: the seed and the digests of the masks; no face meets
    the photograph it was drawn on.
    """
    if plan.masked is None:
        raise KitError(
            "its masks are drawn and embedded by `kit.py evaluate --protocol synthetic-mask`, "
            "embeddings of the set do not hold them"
        )
    outcome = verify(Pairs(plan.masked, faces.under(NONMASK)), plan)
    return Outcome({**outcome.result, "draw": plan.draw}, outcome.resampled)
