"""The score of the InsightFace challenge, 0.25 TAR@Mask + 0.75 TAR@MR-All, as far as a set can
give it.
"""

from mfr_kit.evaluation.verification.bootstrap import interval
from mfr_kit.evaluation.verification.rates import Outcome, figure

MASK_FAR, MR_ALL_FAR = 1e-4, 1e-6
MASK_SHARE, MR_ALL_SHARE = 0.25, 0.75
MASK = ("mask-nonmask",)
# MR-All has no masked faces; the first of these that was measured stands for it
MR_ALL = ("nonmask-nonmask", "all-to-all")


def challenge_scores(protocols: dict, outcomes: dict[str, dict[str, Outcome]]) -> dict | None:
    """Read the challenge's score off a report's protocols.

    Args:
        protocols: of `compare.side_by_side`.
        outcomes: what it joined, by model and protocol.
    Returns:
        By model: `value` in [0, 1], or None where the set does not support the challenge's FARs;
        its `parts` (`part`, `protocol`, `share`, `far` of the challenge, `far_used` and `tar`
        there, `note` saying why another FAR was used); `instead`, the same sum at the FARs that
        were used when they are not the challenge's, else None; `interval` of the one that is given,
        from resamples of the people of both halves at once, None without resamples or where the
        halves are of different people; and `text`, all in a line. None where a protocol is missing,
        so that there is nothing to add up.
    """
    known = [[name for name in names if name in protocols] for names in (MASK, MR_ALL)]
    if not all(known):
        return None
    chosen = [names[0] for names in known]
    parts = list(zip(("Mask", "MR-All"), chosen, (MASK_SHARE, MR_ALL_SHARE), strict=True))
    models = protocols[chosen[0]]["models"]
    return {
        model: _score(
            [
                _part(part, name, share, protocols[name]["models"][model])
                for part, name, share in parts
            ],
            [outcomes[model][name] for name in chosen],
        )
        for model in models
    }


def _part(part: str, protocol: str, share: float, result: dict) -> dict:
    """Take the row at the challenge's FAR, or that at the smallest larger FAR which the set
    supports.
    """
    wanted = result["challenge"]
    known = [
        row
        for row in (wanted, *result["tar_at_far"])
        if row["tar"] is not None and row["far"] >= wanted["far"]
    ]
    used = min(known, key=lambda row: row["far"], default={"far": None, "tar": None})
    note = wanted["note"] if wanted["tar"] is None else ""
    return {
        "part": part,
        "protocol": protocol,
        "share": share,
        "far": wanted["far"],
        "far_used": used["far"],
        "tar": used["tar"],
        "note": note,
    }


def _score(parts: list[dict], outcomes: list[Outcome]) -> dict:
    total = (
        None
        if any(part["tar"] is None for part in parts)
        else sum(part["share"] * part["tar"] for part in parts)
    )
    held = all(part["far"] == part["far_used"] for part in parts)
    span = None if total is None else _interval(parts, outcomes)
    found = {
        "value": total if held else None,
        "instead": None if held else total,
        "interval": span,
        "parts": parts,
    }
    return {**found, "text": _text(found)}


def _interval(parts: list[dict], outcomes: list[Outcome]) -> dict | None:
    """Add the halves up in every resample. Halves of equally many people are of the same ones,
    for those of one contain the other's.
    """
    if len({outcome.result["faces"]["people"] for outcome in outcomes}) > 1:
        return None
    halves = [
        outcome.resampled.get(figure(part["far_used"]))
        for part, outcome in zip(parts, outcomes, strict=True)
    ]
    if any(half is None for half in halves):
        return None
    return interval(sum(part["share"] * half for part, half in zip(parts, halves, strict=True)))


def _text(found: dict) -> str:
    parts, span = found["parts"], found["interval"]
    bounds = f" ({100 * span['low']:.1f}-{100 * span['high']:.1f})" if span else ""
    if found["value"] is not None:
        return f"{100 * found['value']:.2f}{bounds} = {_sum(parts)}"
    why = "; ".join(
        f"{part['part']} ({part['protocol']}): {part['note']}" for part in parts if part["note"]
    )
    if found["instead"] is None:
        return f"none, {why}"
    return (
        f"none, {why}. At larger FARs, so not comparable with the challenge's: "
        f"{100 * found['instead']:.2f}{bounds} = {_sum(parts)}"
    )


def _sum(parts: list[dict]) -> str:
    return " + ".join(
        f"{part['share']:g} x {100 * part['tar']:.2f} ({part['part']}: {part['protocol']} at FAR "
        f"{part['far_used']:g})"
        for part in parts
    )
