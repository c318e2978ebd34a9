"""LFW's or MLFW's 6,000 published pairs in ten folds: `--protocol lfw --pairs pairs.txt`, or any
list in one of their formats.
"""

from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.verification.pair_list import fold_accuracy, pair_up, read_list
from mfr_kit.evaluation.verification.rates import Outcome, Plan, verify, with_accuracy

TITLE = "listed pairs, accuracy in folds"
ORDER = 10  # in tables and reports


def comparable(faces: Faces, plan: Plan) -> bool:
    """Say whether a list was given."""
    return plan.pairs is not None and len(faces) > 0


def measure(faces: Faces, plan: Plan) -> Outcome:
    """Add `accuracy` (mean, standard deviation, and of each fold) to the result of `verify`."""
    if plan.pairs is None:
        raise KitError("give the list of pairs with --pairs (LFW's or MLFW's pairs.txt)")
    pairs, folds = read_list(plan.pairs)
    comparisons, places = pair_up(faces, pairs, plan.pairs, plan.allow_unknown)
    fold_of = places * folds // len(pairs)
    accuracy, correct = fold_accuracy(comparisons.scores, comparisons.same, folds, fold_of)
    return with_accuracy(verify(comparisons, plan), comparisons, accuracy, correct, plan)
