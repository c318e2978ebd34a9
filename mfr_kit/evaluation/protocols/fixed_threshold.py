"""NIST's way: the threshold is set on unmasked comparisons and stays, as in a system that does
not know who wears a mask.
"""

import numpy as np

from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.protocols import mask_nonmask, nonmask_nonmask
from mfr_kit.evaluation.verification.rates import Outcome, Plan, describe, macro, row
from mfr_kit.evaluation.verification.scores import Scores, score
from mfr_kit.evaluation.verification.worst import worst

TITLE = "masked against unmasked, threshold set on unmasked"
ORDER = 4  # in tables and reports


def comparable(faces: Faces, plan: Plan) -> bool:
    """Say whether the set can both set the threshold and be measured at it."""
    return nonmask_nonmask.comparable(faces, plan) and mask_nonmask.comparable(faces, plan)


def measure(faces: Faces, plan: Plan) -> Outcome:
    """Measure mask-nonmask at the thresholds of nonmask-nonmask.

    Rows of `tar_at_far` have the FAR promised on unmasked faces as `far` and what masked probes
    make of it as `far_measured`.
    """
    unmasked = score(nonmask_nonmask.pairs(faces), plan.fars)
    promised = [row(unmasked, far, None) for far in plan.fars]
    thresholds = [line["threshold"] for line in promised if line["threshold"] is not None]
    comparisons = mask_nonmask.pairs(faces)
    masked = score(comparisons, plan.fars, thresholds)
    rows = [_at(masked, line) for line in promised]
    named = {"worst": worst(comparisons, rows, plan.worst)} if plan.worst else {}
    return Outcome({**describe(masked, rows), **named}, {})


def _at(masked: Scores, promised: dict) -> dict:
    if promised["tar"] is None:
        return {**promised, "far_measured": None}
    threshold = np.float32(promised["threshold"])
    return {
        "far": promised["far"],
        "tar": masked.tar(threshold),
        "tar_macro": macro(masked, threshold),
        "interval": None,
        "threshold": promised["threshold"],
        "false_accepts": masked.impostors_from(threshold),
        "true_accepts": int(masked.genuine_from(threshold)),
        "far_measured": masked.far(threshold),
        "note": f"FAR of masked probes: {masked.far(threshold):.3g}",
    }
