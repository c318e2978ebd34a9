"""The errors that went furthest wrong: strangers with the highest scores, and the same person
with the lowest; streamed and exact.
"""

import numpy as np

from mfr_kit.data.face_set.faceset import MASK
from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.groups import mask_kind, resolution, turn
from mfr_kit.evaluation.verification.pair_list import PairList

SHOWN = 20  # of each kind
STRIP = 64  # rows of a block that are searched together


def worst(pairs: Pairs | PairList, rows: list[dict], shown: int = SHOWN) -> dict | None:
    """List the worst false matches and false non-matches at the threshold of the smallest FAR that
    is claimed.

    Comparisons are scored once more, block by block; besides a block only the `shown` worst of each
    kind are held. Comparisons with a face that was not found are non-matches of which there is
    nothing to show: they are not listed.

    Args:
        pairs: the comparisons.
        rows: their `tar_at_far`.
        shown: at most so many of each kind, at least 1.
    Returns:
        `far`, `threshold`, and `false_matches` (highest score first) and `false_non_matches`
        (lowest first), each a list of `score`, `probe` and `gallery` (keys of the face set); of
        equal scores those that stand first among the comparisons. None without a claim.
    """
    claimed = [row for row in rows if row["tar"] is not None]
    if not claimed:
        return None
    row = min(claimed, key=lambda row: row["far"])
    threshold = np.float32(row["threshold"])
    false, missed = _Highest(shown), _Highest(shown)
    for impostors, genuine in _scored(pairs):
        scores, *where = genuine
        low = scores < threshold
        missed.add(-scores[low], *(part[low] for part in where))
        for strip in impostors:
            false.add(*_above(strip, max(threshold, false.cutoff)))
    probe, gallery = (
        (pairs.faces.keys, pairs.faces.keys)
        if isinstance(pairs, PairList)
        else (pairs.probe.keys, pairs.gallery.keys)
    )
    return {
        "far": row["far"],
        "threshold": row["threshold"],
        "false_matches": [_named(score, probe[i], gallery[j]) for score, i, j in false.kept()],
        "false_non_matches": [
            _named(-score, probe[i], gallery[j]) for score, i, j in missed.kept()
        ],
    }


def describe_errors(
    found: dict | None,
    probe: Faces,
    yaws: dict[str, float] | None,
    sizes: dict[str, float] | None,
) -> dict | None:
    """Say of each error's probe what mask it wears, how far its head is turned and how large its
    face is in the photograph: `mask`, `turn`, `resolution`.

    Args:
        found: from `worst`.
        probe: the faces on the probe's side.
        yaws: from `groups.head_turns`.
        sizes: from `groups.face_sizes`.
    """
    if found is None:
        return None
    kinds = ("false_matches", "false_non_matches")
    named = {row["probe"] for kind in kinds for row in found[kind]}
    about = {}
    for key, mask, condition in zip(probe.keys, probe.masks, probe.conditions, strict=True):
        if key in named:
            about[str(key)] = {
                "mask": mask_kind(mask) if condition == MASK else "no mask",
                "turn": turn((yaws or {}).get(str(key))),
                "resolution": resolution((sizes or {}).get(str(key))),
            }
    described = {kind: [{**row, **about[row["probe"]]} for row in found[kind]] for kind in kinds}
    return {**found, **described}


def _named(score: float, probe: str, gallery: str) -> dict:
    return {"score": score, "probe": str(probe), "gallery": str(gallery)}


def _scored(pairs: Pairs | PairList):
    """Yield impostor scores, as strips for `_above`, and (n,) genuine scores with their rows and
    columns.
    """
    if isinstance(pairs, PairList):
        other, same = (
            (pairs.scores[some], pairs.left[some], pairs.right[some])
            for some in (pairs.found & ~pairs.same, pairs.found & pairs.same)
        )
        yield [other], same
        return
    for block in pairs.blocks():
        (top, left), (height, width) = block.first, block.impostors.shape
        columns = np.arange(left, left + width)
        strips = (
            (
                block.impostors[at : at + STRIP],
                np.arange(top + at, top + min(at + STRIP, height)),
                columns,
            )
            for at in range(0, height, STRIP)
        )
        yield strips, (block.genuine, block.rows, block.columns)


def _above(
    strip: tuple[np.ndarray, np.ndarray, np.ndarray], cutoff: np.float32
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pick the scores >= cutoff, with their rows and columns.

    Args:
        strip: either (n,) scores with their rows and columns, or an (R, C) table of scores with its
            (R,) rows and (C,) columns.
        cutoff: a cosine.
    """
    scores, rows, columns = strip
    high = np.flatnonzero(scores >= cutoff)
    down, across = (high, high) if scores.ndim == 1 else np.divmod(high, scores.shape[1])
    return scores.reshape(-1)[high], rows[down], columns[across]


class _Highest:
    """The highest scores of all that were added, and where they stand."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._parts: tuple[np.ndarray, ...]
        self._parts = (np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.int64))

    @property
    def cutoff(self) -> np.float32:
        """What a score must reach to be kept."""
        full = len(self._parts[0]) == self._size
        return self._parts[0][-1] if full else np.float32(-np.inf)

    def add(self, scores: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
        parts: list[np.ndarray] = [
            np.concatenate(pair) for pair in zip(self._parts, (scores, rows, columns), strict=True)
        ]
        order = np.lexsort((parts[2], parts[1], -parts[0]))[: self._size]
        self._parts = tuple(part[order] for part in parts)

    def kept(self) -> list[tuple[float, int, int]]:
        return [
            (float(score), int(row), int(column))
            for score, row, column in zip(*self._parts, strict=True)
        ]
