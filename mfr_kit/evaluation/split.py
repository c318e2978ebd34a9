"""Divide the people of a face set into those who are trained on, chosen on and reported on, and say
which rates each part is large enough for.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfr_kit import files
from mfr_kit.data import lists
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation.verification.rates import CLAIM, COMPARE
from mfr_kit.paths import refuse_existing
from mfr_kit.seeding import key_of, rng_for

PARTS = ("train", "val", "holdout")
FARS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
EDGES = (1, 2, 3, 5, 10, 20)  # photographs a person, where a stratum begins


@dataclass(frozen=True)
class Part:
    """One list of people and what it can be measured for.

    Attributes:
        name: "train", "val" or "holdout".
        people: their names, sorted.
        clean: bare faces they have.
        masked: masked faces they have.
        pairs: comparisons of two bare faces of different people.
        masked_pairs: comparisons of a masked and a bare face of different people.
    """

    name: str
    people: list[str]
    clean: int
    masked: int
    pairs: int
    masked_pairs: int


def split(faces: FaceSet, val: float, holdout: float, seed: int) -> list[Part]:
    """Divide the people, within each number of photographs that a person has.

    Where somebody goes follows from their name and the seed, and from how many of their stratum are
    to go where: people who are added later move few others.

    Args:
        faces: the set.
        val: share of the people to choose on, in [0, 1).
        holdout: share to report on.
        seed: of the division.
    Returns:
        The parts, in the order of `PARTS`.
    Raises:
        KitError: shares that leave nobody to train on, or a part without people.
    """
    if val + holdout >= 1:
        raise KitError(f"--val {val:g} and --holdout {holdout:g} leave nobody to train on")
    names, codes = faces.names, faces.codes
    clean = np.bincount(codes[~faces.masked], minlength=len(names))
    masked = np.bincount(codes[faces.masked], minlength=len(names))
    present = np.flatnonzero(clean + masked)
    draws = {row: rng_for(seed, key_of(names[row])).random() for row in present}
    chosen: dict[str, list[int]] = {name: [] for name in PARTS}
    strata = np.searchsorted(EDGES, clean[present], side="right")
    left_over = {"val": 0.0, "holdout": 0.0}  # of a person, from stratum to stratum
    for stratum in np.unique(strata):
        rows = sorted(present[strata == stratum], key=lambda row: draws[row])
        for name, share in (("holdout", holdout), ("val", val)):
            wanted = share * np.count_nonzero(strata == stratum) + left_over[name]
            count = min(round(wanted), len(rows))
            left_over[name] = wanted - count
            chosen[name] += rows[:count]
            rows = rows[count:]
        chosen["train"] += rows
    for name, share in (("train", 1 - val - holdout), ("val", val), ("holdout", holdout)):
        if share and not chosen[name]:
            raise KitError(
                f"{len(present)} people are too few for a part of {share:.0%} ({name}): give it a "
                "larger share"
            )
    return [_part(name, chosen[name], names, clean, masked) for name in PARTS]


def _part(
    name: str, rows: list[int], names: list[str], clean: np.ndarray, masked: np.ndarray
) -> Part:
    bare, covered = clean[rows].astype(int), masked[rows].astype(int)
    pairs = (bare.sum() ** 2 - (bare**2).sum()) // 2
    masked_pairs = covered.sum() * bare.sum() - (covered * bare).sum()
    people = sorted(names[row] for row in rows)
    counts = (bare.sum(), covered.sum(), pairs, masked_pairs)
    return Part(name, people, *map(int, counts))


def write_lists(parts: list[Part], folder: Path) -> list[Path]:
    """Write a list a part, NAME.txt; of a part without people none. What a split that was cut off
    has left of the same lists is completed.

    Raises:
        KitError: all of them, or other lists, are there already.
    """
    texts = {folder / f"{part.name}.txt": lists.as_text(part.people) for part in parts}
    texts = {path: text for path, text in texts.items() if text}
    stands = [folder / f"{name}.txt" for name in PARTS if os.path.lexists(folder / f"{name}.txt")]
    for path in stands:
        is_left = path.is_file() and path.read_bytes() == texts.get(path, "").encode()
        if len(stands) >= len(texts) or not is_left:
            refuse_existing(path)
    for path, text in texts.items():
        if path not in stands:
            files.write_text(path, text)
    return list(texts)


def describe(parts: list[Part]) -> str:
    """Write what each part has, and which false accept rates it can be measured at."""
    lines = [f"{'part':<10}{'people':>9}{'bare':>9}{'masked':>9}  least FAR to state, to compare"]
    for part in parts:
        lines.append(
            f"{part.name:<10}{len(part.people):>9,}{part.clean:>9,}{part.masked:>9,}  "
            f"bare {_least(part.pairs)}, masked {_least(part.masked_pairs)}"
        )
    lines += [
        "",
        f"A rate rests on {CLAIM} false accepts of different people, a comparison of two models on "
        f"{COMPARE}:",
        f"{'FAR':>8}{'comparisons':>14}{'bare faces':>13}{'bare and masked':>18}",
    ]
    for far in FARS:
        needed = CLAIM / far
        lines.append(
            f"{far:>8g}{needed:>14,.0f}{np.ceil((2 * needed) ** 0.5):>13,.0f}"
            f"{np.ceil(needed**0.5):>12,.0f} each"
        )
    if not any(part.masked for part in parts if part.name != "train"):
        lines += ["", "Nobody to measure has a masked face: `kit.py augment --ratio 1` draws them."]
    return "\n".join(lines)


def _least(pairs: int) -> str:
    """The least of `FARS` to state a rate at, and to compare two models at."""
    found = [
        next((f"{far:g}" for far in reversed(FARS) if pairs * far >= least), "none")
        for least in (CLAIM, COMPARE)
    ]
    return " and ".join(found)
