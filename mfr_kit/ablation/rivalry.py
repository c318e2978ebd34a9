"""Settings against one of them, counting other people and other seeds: paired differences, and
what difference could have been seen.
"""

import math
from dataclasses import dataclass

import numpy as np

from mfr_kit.ablation.cells import TEACHER
from mfr_kit.ablation.figures import is_claimed, least_place
from mfr_kit.ablation.table import rows_of
from mfr_kit.evaluation.verification.bootstrap import LEVEL
from mfr_kit.evaluation.verification.rates import COMPARE
from mfr_kit.seeding import rng_for

SEED_STREAM = 23
DRAWS = 25  # of seeds, for every resample of people
# standard errors that a difference must have to be seen at 5 % in 80 % of repetitions
POWER = 1.96 + 0.84


@dataclass(frozen=True)
class Difference:
    """A paired difference of TAR in points: its mean over seeds, the ends of its interval, the
    standard error, and the number of seeds that both settings have.
    """

    mean: float
    low: float
    high: float
    error: float
    seeds: int

    @property
    def detectable(self) -> float:
        """The least difference that so many people and seeds would show, in points."""
        return POWER * self.error

    def __str__(self) -> str:
        return f"{self.mean:+.2f} ({self.low:+.2f} to {self.high:+.2f})"


def difference(ours: dict[int, dict], theirs: dict[int, dict]) -> Difference | None:
    """Compare two settings at one rate.

    Every resample of people is the same for both; in each, seeds are drawn with replacement among
    those that both have, one fewer than there are, so that the variance of a mean over few seeds is
    not understated. Runs of one seed saw the same views in the same order.

    Args:
        ours: rates of a record, by seed: `tar`, `false_accepts`, `resampled` TARs over people.
        theirs: of the setting that is compared with.
    Returns:
        The difference; None where fewer than two seeds are shared, or a rate rests on too few false
        accepts.
    """
    shared = sorted(set(ours) & set(theirs))
    rows = [side[seed] for seed in shared for side in (ours, theirs)]
    if len(shared) < 2 or not is_claimed(rows, COMPARE):
        return None
    if len({len(row["resampled"]) for row in rows}) != 1 or not rows[0]["resampled"]:
        return None
    changes = np.array(
        [
            np.subtract(*(np.array(side[seed]["resampled"], float) for side in (ours, theirs)))
            for seed in shared
        ]
    )
    count, resamples = changes.shape
    chosen = rng_for(0, SEED_STREAM, count).integers(count, size=(DRAWS, count - 1, resamples))
    means = 100 * np.take_along_axis(changes[None], chosen, axis=1).mean(axis=1).ravel()
    low, high = np.nanquantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    mean = 100 * np.mean([ours[seed]["tar"] - theirs[seed]["tar"] for seed in shared])
    return Difference(float(mean), float(low), float(high), float(np.nanstd(means)), count)


def compared_with(by_setting: dict[str, list[dict]]) -> list[str]:
    """Name the settings that a table's others are compared with: those of any of its records, since
    it may name more than when the first of them were made.
    """
    records = [record for several in by_setting.values() for record in several]
    named = sorted((rows_of(record.get("against", [])) for record in records), key=len)
    found = dict.fromkeys(name for names in reversed(named) for name in names)
    return [name for name in found if name in by_setting]


def against_table(by_setting: dict[str, list[dict]], base: str) -> list[str]:
    """Make the table of all settings minus one of them, at each set's and protocol's least FAR with
    a figure; empty where nothing can be compared.
    """
    places = [
        (name, protocol, place, rows[place]["far"])
        for name, shape in by_setting[base][0]["sets"].items()
        for protocol, rows in shape["protocols"].items()
        if (place := least_place(by_setting, name, protocol)) is not None
    ]
    others = [name for name in by_setting if name not in (TEACHER, base)]
    found = {
        (name, *spot): difference(_rates(by_setting[name], spot), _rates(by_setting[base], spot))
        for name in others
        for spot in [place[:3] for place in places]
    }
    if not any(found.values()):
        return []
    lines = [
        f"Points of TAR minus {base}, the mean over the seeds that both have, with its "
        f"{LEVEL:.0%} interval over people AND seeds; in the last line the least difference that "
        "would be seen in four of five repetitions, the median over the settings.",
        "",
        "| setting | seeds | "
        + " | ".join(f"{name}, {protocol} @ {far:g}" for name, protocol, _, far in places)
        + " |",
        "| --- | --- |" + " --- |" * len(places),
    ]
    for name in others:
        cells = [found[name, *spot] for *spot, _ in places]
        seeds = max((cell.seeds for cell in cells if cell), default=0)
        texts = [str(cell) if cell else "-" for cell in cells]
        lines.append(f"| {name} | {seeds or '-'} | " + " | ".join(texts) + " |")
    least = [_median([found[name, *spot] for name in others]) for *spot, _ in places]
    lines.append("| could be seen | | " + " | ".join(least) + " |")
    return lines


def _median(cells: list[Difference | None]) -> str:
    errors = [cell.detectable for cell in cells if cell and math.isfinite(cell.detectable)]
    return f"{np.median(errors):.2f}" if errors else "-"


def _rates(records: list[dict], spot: tuple[str, str, int]) -> dict[int, dict]:
    name, protocol, place = spot
    return {
        record["seed"]: record["sets"][name]["protocols"][protocol][place]
        for record in records
        if isinstance(record["seed"], int)
    }
