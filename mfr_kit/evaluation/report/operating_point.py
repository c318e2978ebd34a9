"""What an integrator asks: at a false-match rate, which threshold, and how many people does it
turn away with and without a mask?
"""

from mfr_kit.errors import KitError

CLEAN, MASKED, FIXED = "nonmask-nonmask", "mask-nonmask", "fixed-threshold"


def operating_point(protocols: dict, fmr: float) -> dict:
    """Read an operating point off a report's protocols.

    Args:
        protocols: of `compare.side_by_side`, measured with `fmr` among the FARs.
        fmr: false-match rate, in (0, 1).
    Returns:
        By model: `unmasked` and `masked` with the threshold that keeps the FMR there and the FNMR
        at it, and `masked_at_unmasked_threshold` with FMR and FNMR of masked probes where the
        system does not know of masks.
    Raises:
        KitError: the set has no masked faces to compare, or too few comparisons for this FMR.
    """
    missing = [name for name in (CLEAN, MASKED, FIXED) if name not in protocols]
    if missing:
        raise KitError(
            f"--operating-point needs the protocols {CLEAN}, {MASKED} and {FIXED}; this set or "
            f"--protocol leaves out {missing[0]}"
        )
    points = {}
    for model in protocols[CLEAN]["models"]:
        clean, masked, fixed = (
            _row(protocols[name]["models"][model], fmr, name) for name in (CLEAN, MASKED, FIXED)
        )
        points[model] = {
            "unmasked": {"threshold": clean["threshold"], "fmr": fmr, "fnmr": 1 - clean["tar"]},
            "masked": {"threshold": masked["threshold"], "fmr": fmr, "fnmr": 1 - masked["tar"]},
            "masked_at_unmasked_threshold": {
                "threshold": fixed["threshold"],
                "fmr": fixed["far_measured"],
                "fnmr": 1 - fixed["tar"],
            },
        }
    return points


def _row(result: dict, fmr: float, protocol: str) -> dict:
    row = next(row for row in result["tar_at_far"] if row["far"] == fmr)
    if row["tar"] is None:
        raise KitError(f"--operating-point {fmr:g}: {protocol}: {row['note']}")
    return row
