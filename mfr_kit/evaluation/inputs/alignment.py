"""One set of photographs aligned in two ways: keep what both alignments know, so that models
differ in nothing but the alignment.
"""

from collections import Counter

import numpy as np

from mfr_kit.data.face_set.faceset import MASK, NO_FACE, NONMASK, FaceSet
from mfr_kit.errors import KitError

OLD, NEW = "old alignment", "new alignment"
Photograph = tuple[str, str, bool]  # source, condition, whether it is a drawn twin


def match(old: FaceSet, new: FaceSet) -> tuple[FaceSet, FaceSet, dict]:
    """Keep the photographs that both sets name, with or without a face found.

    A photograph is matched by its source, its condition, and whether its mask was drawn. One whose
    face only one alignment found is kept: in the other set it is a non-match, which is part of what
    an alignment does.

    Returns:
        Both sets reduced, each in its own order; and for reports `old` and `new` (`set`,
        `fingerprint`, and of each set `left_out`, the photographs that the other one does not
        know), and `photographs`, how many are compared.
    Raises:
        KitError: a set names a photograph twice, none is in both, or one shows another person in
            the other set.
    """
    names = _people(old), _people(new)
    both = names[0].keys() & names[1].keys()
    if not both:
        raise KitError(
            f"no photograph of {old.folder} is in {new.folder}: --realigned wants the same "
            "photographs, aligned in another way"
        )
    for photograph in sorted(both):
        here, there = names[0][photograph], names[1][photograph]
        if here != there:
            raise KitError(
                f"{photograph[0]} shows {here} in {old.folder} and {there} in {new.folder}: "
                "--realigned wants the same people"
            )
    about = [
        {
            "set": aligned.name,
            "fingerprint": aligned.fingerprint,
            "left_out": len(known) - len(both),
        }
        for aligned, known in zip((old, new), names, strict=True)
    ]
    return (
        _only(old, both),
        _only(new, both),
        {"old": about[0], "new": about[1], "photographs": len(both)},
    )


def measure_drift(old: FaceSet, new: FaceSet, before: np.ndarray, after: np.ndarray) -> list[dict]:
    """Say how far an alignment moves a model's embeddings: the cosine between the two of one
    photograph, over the photographs in which both alignments found the face.

    Args:
        old: from `match`.
        new: from `match`.
        before: (len(old), D) float32 unit rows, of `old`'s faces in its order.
        after: (len(new), D) likewise of `new`.
    Returns:
        A row each condition that there is: `condition`, `photographs`, and of the cosines `mean`,
        `median` and `low`, which 5 % of them are below.
    """
    there = {photograph: row for row, photograph in enumerate(_faces(new))}
    rows = [(row, there[known]) for row, known in enumerate(_faces(old)) if known in there]
    drift = []
    for condition in (NONMASK, MASK):
        mine = [(row, other) for row, other in rows if old.conditions[row] == condition]
        if not mine:
            continue
        here, other = np.array(mine).T
        cosines = np.einsum("nd,nd->n", before[here], after[other]).astype(np.float64)
        low, median = np.quantile(cosines, (0.05, 0.5)).tolist()
        about = {"condition": condition, "photographs": len(mine)}
        drift.append({**about, "mean": float(cosines.mean()), "median": median, "low": low})
    return drift


def _faces(faceset: FaceSet) -> list[Photograph]:
    columns = (faceset.sources, faceset.conditions, faceset.clean_keys)
    return [
        (str(source), str(condition), bool(clean))
        for source, condition, clean in zip(*columns, strict=True)
    ]


def _not_found(row: dict) -> Photograph:
    return row["source"], row["condition"], bool(row["clean_key"])


def _people(faceset: FaceSet) -> dict[Photograph, str]:
    missing = [
        row
        for row in faceset.skipped
        if row["reason"] == NO_FACE and row["condition"] in (NONMASK, MASK)
    ]
    every = [*_faces(faceset), *map(_not_found, missing)]
    twice = [photograph for photograph, number in Counter(every).items() if number > 1]
    if twice:
        raise KitError(
            f"{faceset.folder} holds {twice[0][0]} ({twice[0][1]}) more than once: it cannot be "
            "matched by its photographs"
        )
    return dict(
        zip(
            every,
            [*map(str, faceset.identities), *(row["identity"] for row in missing)],
            strict=True,
        )
    )


def _only(faceset: FaceSet, wanted: set[Photograph]) -> FaceSet:
    kept = faceset.select(
        np.fromiter((photograph in wanted for photograph in _faces(faceset)), bool, len(faceset))
    )
    kept.skipped = [
        row for row in faceset.skipped if row["reason"] != NO_FACE or _not_found(row) in wanted
    ]
    return kept
