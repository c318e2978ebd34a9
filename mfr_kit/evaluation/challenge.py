"""The score of the InsightFace challenge, 0.25 TAR@Mask + 0.75 TAR@MR-All, as far as a set can give it."""

MASK_FAR, MR_ALL_FAR = 1e-4, 1e-6
MASK_SHARE, MR_ALL_SHARE = 0.25, 0.75
MASK = ("mask-nonmask",)
MR_ALL = ("nonmask-nonmask", "all-to-all")  # MR-All has no masked faces; the first of these that was measured stands for it


def challenge_scores(protocols: dict) -> dict | None:
    """Read the challenge's score off a report's protocols.

    Args:
        protocols: of `compare.side_by_side`.
    Returns:
        By model: `value` in [0, 1], or None where the set does not support the challenge's FARs; its `parts` (`part`, `protocol`, `share`,
        `far` of the challenge, `far_used` and `tar` there, `note` saying why another FAR was used); `instead`, the same sum at the FARs
        that were used when they are not the challenge's, else None; and `text`, all this in one line.
        None where a protocol is missing, so that there is nothing to add up.
    """
    chosen = [next((name for name in names if name in protocols), None) for names in (MASK, MR_ALL)]
    if None in chosen:
        return None
    parts = list(zip(("Mask", "MR-All"), chosen, (MASK_SHARE, MR_ALL_SHARE), strict=True))
    models = protocols[chosen[0]]["models"]
    return {model: _score([_part(*part, protocols[part[1]]["models"][model]) for part in parts]) for model in models}


def _part(part: str, protocol: str, share: float, result: dict) -> dict:
    """Take the row at the challenge's FAR, or that at the smallest larger FAR which the set supports."""
    wanted = result["challenge"]
    known = [row for row in (wanted, *result["tar_at_far"]) if row["tar"] is not None and row["far"] >= wanted["far"]]
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


def _score(parts: list[dict]) -> dict:
    total = None if any(part["tar"] is None for part in parts) else sum(part["share"] * part["tar"] for part in parts)
    held = all(part["far"] == part["far_used"] for part in parts)
    found = {"value": total if held else None, "instead": None if held else total, "parts": parts}
    return {**found, "text": _text(found)}


def _text(found: dict) -> str:
    parts = found["parts"]
    if found["value"] is not None:
        return f"{100 * found['value']:.2f} = {_sum(parts)}"
    why = "; ".join(f"{part['part']} ({part['protocol']}): {part['note']}" for part in parts if part["note"])
    if found["instead"] is None:
        return f"none, {why}"
    return f"none, {why}. At larger FARs, so not comparable with the challenge's: {100 * found['instead']:.2f} = {_sum(parts)}"


def _sum(parts: list[dict]) -> str:
    return " + ".join(
        f"{part['share']:g} x {100 * part['tar']:.2f} ({part['part']}: {part['protocol']} at FAR {part['far_used']:g})" for part in parts
    )
