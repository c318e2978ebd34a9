"""MegaFace's way: one enrolled photograph among 10, 100, 1,000 ... strangers: `--protocol
distractors`, `--distractors SET`.
"""

from dataclasses import replace

import numpy as np

from mfr_kit.data.face_set.faceset import MASK, NONMASK
from mfr_kit.evaluation.inputs.faces import Faces, concatenate
from mfr_kit.evaluation.search import distractors as among
from mfr_kit.evaluation.search.identification import figure_in, figure_of_rank
from mfr_kit.evaluation.verification.bootstrap import interval
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.rates import Outcome, Plan, verify

TITLE = "probes searched among distractors"
ORDER = 8  # in tables and reports
FAR = 1e-6  # of MegaFace's verification


def comparable(faces: Faces, plan: Plan) -> bool:
    """Say whether distractors were named."""
    return plan.distractors is not None and len(faces) > 0


def measure(faces: Faces, plan: Plan) -> Outcome:
    """Add `distractors` and `searched` to the result of `verify`, the probes against their gallery
    and all distractors, one to one.

    The result of `verify` is that of the masked probes, where there are any. `distractors` holds
    `photographs`, `people`, `second_set`, `left_out` (see `Chosen`), `probed` (people), and
    `verification` (TAR at FAR 1e-6, a row each condition of the probes). `searched` has a row each
    condition and number of distractors: `gallery` in words, `distractors`, `enrolled`, `searches`
    (`mated`: each pair of photographs in turn, `pairs`: each counted once, `not_found`,
    `condition`) and `cmc` (a row each rank: `rank`, `rate`, `interval`).
    """
    chosen = among.choose(faces, plan.distractors, plan.seed)
    gallery = chosen.probed.under(NONMASK)
    enrolled = concatenate(gallery, chosen.distractors)
    # its pictures are not in the set whose pictures a report shows
    if plan.distractors is not None:
        plan = replace(plan, worst=0)
    rows: list[dict] = []
    resampled: dict[str, np.ndarray] = {}
    outcomes = {}
    for condition in (NONMASK, MASK):
        trials = among.pair_up(chosen.probed.under(condition), gallery)
        if len(trials.own):
            some, values = _searches(trials, condition, chosen.distractors, plan)
            rows, resampled = rows + some, resampled | values
            outcomes[condition] = verify(Pairs(trials.probes, enrolled), plan, FAR)
    outcome = outcomes.get(MASK) or outcomes[NONMASK]
    about = {
        "photographs": len(chosen.distractors),
        "people": len(set(chosen.distractors.people)),
        "second_set": plan.distractors is not None,
        "left_out": chosen.left_out,
        "probed": len(set(chosen.probed.people)),
        "verification": [
            {"probes": condition, **measured.result["challenge"]}
            for condition, measured in outcomes.items()
        ],
    }
    kept = {name: value for name, value in outcome.result.items() if name != "challenge"}
    return Outcome({**kept, "distractors": about, "searched": rows}, outcome.resampled | resampled)


def _searches(
    trials: among.Trials, condition: str, distractors: Faces, plan: Plan
) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Return a row each number of distractors, and (resamples,) values by figure."""
    mated = len(trials.own)
    # an unmasked photograph is once the probe and once the enrolled one
    pairs = mated // 2 if condition == NONMASK else mated
    counted = {
        "mated": mated,
        "non_mated": 0,
        "not_found": int(np.isinf(trials.own).sum()),
        "pairs": pairs,
        "condition": condition,
    }
    rows = []
    resampled: dict[str, np.ndarray] = {}
    for size, rank in among.ranks(trials, distractors.embeddings, among.sizes(len(distractors))):
        rates, values = among.hit_rates(trials, rank, among.CMC, plan.resamples, plan.seed)
        spans = [interval(column) if plan.resamples else None for column in values.T]
        cmc = [
            {"rank": at, "rate": float(rate), "interval": span}
            for at, rate, span in zip(among.CMC, rates, spans, strict=True)
        ]
        name = f"{size:,} distractors, {condition} probes"
        enrolled = {"people": None, "photographs": size + 1, "each": 1}
        rows.append(
            {
                "gallery": name,
                "distractors": size,
                "enrolled": enrolled,
                "searches": counted,
                "cmc": cmc,
                "open_set": [],
            }
        )
        if plan.resamples:
            resampled |= {
                figure_in(figure_of_rank(at), name): column
                for at, column in zip(among.CMC, values.T, strict=True)
            }
    return rows, resampled
