"""Embeddings with what a protocol must know of each: who it shows, which photograph it comes
from, and whether a face was found.
"""

from dataclasses import dataclass

import numpy as np

from mfr_kit.data.face_set.faceset import NO_FACE, NONMASK, FaceSet
from mfr_kit.errors import KitError


@dataclass(frozen=True)
class Faces:
    """A table of N faces, found or not.

    Attributes:
        embeddings: (N, D) float32, unit rows; a row of zeros where no face was found.
        people: (N,) str, the identity.
        photos: (N,) str, the photograph: equal for a clean face and its masked twins, which are the
            same picture and so never a pair.
        conditions: (N,) str, "nonmask" or "mask".
        found: (N,) bool; False is a failure to acquire, whose every comparison is a non-match.
        keys: (N,) str, how reports name the face.
        masks: (N,) str, JSON of the synthetic mask, "" without one.
        sources: (N,) str, the photograph's path in the folder that the set was made from.
    """

    embeddings: np.ndarray
    people: np.ndarray
    photos: np.ndarray
    conditions: np.ndarray
    found: np.ndarray
    keys: np.ndarray
    masks: np.ndarray
    sources: np.ndarray

    def __len__(self) -> int:
        return len(self.people)

    def select(self, rows: np.ndarray) -> "Faces":
        """Return the faces at `rows` (indices or a mask of length N), in that order."""
        return Faces(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def under(self, condition: str) -> "Faces":
        """Return the faces of one condition, found or not."""
        return self.select(self.conditions == condition)


def from_set(embeddings: np.ndarray, faceset: FaceSet) -> Faces:
    """Join raw embeddings of a face set with its labels, and append the photos in which no face was
    found.

    Args:
        embeddings: (len(faceset), D) float32 of any norm, in the set's order.
        faceset: whose faces they are.
    Raises:
        KitError: another number of rows than the set has, or an embedding that is not finite or all
            zeros.
    """
    if embeddings.ndim != 2 or len(embeddings) != len(faceset):
        raise KitError(
            f"embeddings of shape {embeddings.shape} for the {len(faceset)} faces of "
            f"{faceset.name}: embed this very set"
        )
    missing = [row for row in faceset.skipped if row["reason"] == NO_FACE]
    found_photos, lost_photos = _photographs(faceset, missing)
    return Faces(
        embeddings=np.concatenate(
            [
                unit(embeddings, faceset.keys),
                np.zeros((len(missing), embeddings.shape[1]), np.float32),
            ]
        ),
        people=_texts(faceset.identities, (row["identity"] for row in missing)),
        photos=_texts(found_photos, lost_photos),
        conditions=_texts(faceset.conditions, (row["condition"] for row in missing)),
        found=np.arange(len(faceset) + len(missing)) < len(faceset),
        keys=_texts(faceset.keys, (row["source"] for row in missing)),
        masks=_texts(faceset.masks, ("" for _ in missing)),
        sources=_texts(faceset.sources, (row["source"] for row in missing)),
    )


def concatenate(first: Faces, second: Faces) -> Faces:
    """Return the faces of one table and then those of another; their embeddings have one size."""
    return Faces(
        *(
            np.concatenate([getattr(first, name), getattr(second, name)])
            for name in Faces.__dataclass_fields__
        )
    )


def strangers_from(embeddings: np.ndarray, keys) -> Faces:
    """Take each row of embeddings (N, D), of any norm, for an unmasked face of somebody else, of
    whom only the key is known.

    Raises:
        KitError: see `unit`.
    """
    names = np.array([str(key) for key in keys], object)
    people = np.array([f"distractor {key}" for key in keys], object)
    blank = np.full(len(names), "", object)
    nonmask = np.full(len(names), NONMASK, object)
    return Faces(
        unit(embeddings, keys),
        people,
        names,
        nonmask,
        np.ones(len(names), bool),
        names,
        blank,
        names,
    )


def _photographs(faceset: FaceSet, missing: list[dict]) -> tuple[list[str], list[str]]:
    """Name the photograph of every face and of every lost one: the key of the clean face, or the
    source where that face was lost.

    A twin, found or not, whose clean face was not found either is then the same picture as that
    lost face, and no pair with it.
    """
    sources = {row["source"] for row in missing if not row["clean_key"]}
    known = set(faceset.keys) if sources else set()

    def photo(clean: str, own: str, source: str) -> str:
        return source if clean and source in sources and clean not in known else clean or own

    rows = zip(faceset.clean_keys, faceset.keys, faceset.sources, strict=True)
    return [photo(*row) for row in rows], [
        photo(row["clean_key"], row["source"], row["source"]) for row in missing
    ]


def unit(embeddings: np.ndarray, keys) -> np.ndarray:
    """Scale every row to length one, refusing what has no direction.

    Raises:
        KitError: a row is not finite or all zeros; `keys` names it.
    """
    wide = np.asarray(embeddings, np.float32)
    norms = np.linalg.norm(wide.astype(np.float64), axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(norms[:, 0]) & (norms[:, 0] > 0)))
    if len(bad):
        what = "all zeros" if norms[bad[0], 0] == 0 else "not finite"
        raise KitError(
            f"the embedding of {keys[bad[0]]} is {what} ({len(bad)} such): a broken model, or a "
            "wrong input range"
        )
    return (wide / norms).astype(np.float32)


def _texts(first, more) -> np.ndarray:
    return np.array([*first, *more], dtype=object)
