"""What a score rests on: hide a patch of the probe, look how far the cosine with its partner falls,
and move the patch on.

The model is a black box: whatever embeds faces can be explained, and two models can be laid side by
side. Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks (arXiv
1311.2901), occlusion sensitivity, with a cosine in the place of the class score.
"""

from dataclasses import dataclass

import numpy as np

from mfr_kit.data.face_set.faceset import MASK, NONMASK, FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.faces import Faces, unit
from mfr_kit.models.embedders import Embedder

GRID = (
    14  # patches a side, their centres evenly spaced: one for every 8 x 8 pixels of an aligned face
)
PATCH = 24  # pixels a side
GREY = 128


@dataclass(frozen=True)
class Trio:
    """Rows of one person: a masked probe, the face without its mask (or another photograph), and
    the partner of both.
    """

    masked: int
    clean: int
    partner: int


def choose(faces: Faces, count: int) -> list[Trio]:
    """Choose pairs to explain: evenly from the worst to the best score among the masked probes,
    each with one partner.

    Args:
        faces: of one model; where several are compared, the first.
        count: at most so many, at least 1.
    Returns:
        Trios of rows of `faces`, lowest score of the masked probe first. The clean face is the one
        that the masked twin was made of; where there is none (a real mask), another unmasked
        photograph of the person.
    Raises:
        KitError: nobody has a masked face and two unmasked photographs in which a face was found.
    """
    bare: dict[str, list[int]] = {}
    for row in np.flatnonzero(faces.found & (faces.conditions == NONMASK)).tolist():
        bare.setdefault(faces.people[row], []).append(row)
    trios = []
    for row in np.flatnonzero(faces.found & (faces.conditions == MASK)).tolist():
        mine = bare.get(faces.people[row], [])
        twin = [other for other in mine if faces.photos[other] == faces.photos[row]]
        others = [other for other in mine if faces.photos[other] != faces.photos[row]]
        if len((twin + others)[:2]) == 2 and others:
            clean = (twin or others)[0]
            trios.append(Trio(row, clean, next(other for other in others if other != clean)))
    if not trios:
        raise KitError(
            "--explain: nobody in this set has a masked face and two unmasked photographs; leave "
            "it out, or evaluate more people"
        )
    masked, partner = ([getattr(trio, name) for trio in trios] for name in ("masked", "partner"))
    order = np.argsort(
        np.einsum("nd,nd->n", faces.embeddings[masked], faces.embeddings[partner]), kind="stable"
    )
    return [
        trios[order[at]]
        for at in np.unique(np.linspace(0, len(trios) - 1, count).round().astype(int))
    ]


def explain(
    embedder: Embedder,
    faceset: FaceSet,
    faces: Faces,
    trios: list[Trio],
    flip: bool = False,
    batch: int = 64,
) -> list[dict]:
    """Explain one model's scores of chosen pairs.

    Args:
        embedder: the model.
        faceset: whose faces they are.
        faces: its embeddings by this model, as `from_set` makes them.
        trios: from `choose`.
        flip: whether the embedding of the mirrored face is added, as it was for `faces`.
        batch: faces a run of the network.
    Returns:
        For each trio `clean` and `masked`: `cosine` with the partner, and `falls`, GRID rows of
        GRID numbers, top to bottom and left to
        right: the cosine less the cosine with the patch there. Positive where the score rests on
            what the patch hides.
    """
    explained = []
    for trio in trios:
        partner = faces.embeddings[trio.partner]
        both = {}
        for name in ("clean", "masked"):
            row = getattr(trio, name)
            cosine, falls = sensitivity(
                embedder, faceset.image(row), partner, str(faces.keys[row]), flip, batch
            )
            both[name] = {"cosine": cosine, "falls": falls.round(4).tolist()}
        explained.append(both)
    return explained


def sensitivity(
    embedder: Embedder,
    face: np.ndarray,
    partner: np.ndarray,
    where: str,
    flip: bool = False,
    batch: int = 64,
) -> tuple[float, np.ndarray]:
    """Return the cosine of a face with its partner, and how far it falls with a grey patch at each
    place.

    Args:
        embedder: the model.
        face: (112, 112, 3) uint8 RGB.
        partner: (D,) float32, a unit vector.
        where: names the face in the error.
        flip: add the embedding of the mirrored face.
        batch: faces a run of the network.
    Returns:
        The cosine, and (GRID, GRID) float32 falls.
    Raises:
        KitError: an embedding is not finite or all zeros.
    """
    faces = np.concatenate([face[None], occluded(face)])
    parts = [faces[start : start + batch] for start in range(0, len(faces), batch)]
    raw = np.concatenate(
        [
            embedder.embed(part) + embedder.embed(part[:, :, ::-1])
            if flip
            else embedder.embed(part)
            for part in parts
        ]
    )
    cosines = unit(raw, [where] * len(raw)) @ partner
    return float(cosines[0]), (cosines[0] - cosines[1:]).reshape(GRID, GRID)


def occluded(face: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (GRID * GRID, H, W, 3): copies with the patch at each place, row by
    row; at the edges a part of it hangs over.
    """
    copies = np.repeat(face[None], GRID * GRID, axis=0)
    height, width = face.shape[:2]
    for number, copy in enumerate(copies):
        row, column = divmod(number, GRID)
        top, left = (
            round((at + 0.5) * size / GRID - PATCH / 2)
            for at, size in ((row, height), (column, width))
        )
        copy[max(top, 0) : top + PATCH, max(left, 0) : left + PATCH] = GREY
    return copies


def concatenate(faces: Faces, trios: list[Trio], by_model: dict[str, list[dict]]) -> dict:
    """Lay the models' explanations of the same pairs side by side, for the report.

    Returns:
        `grid`, `patch` (pixels a side) and `pairs`: of each the keys `masked`, `clean` and
        `partner`, whether the clean face is the masked one's `twin`, and `models`: by name what
        `explain` says.
    """
    pairs = []
    for at, trio in enumerate(trios):
        keys = {
            name: str(faces.keys[getattr(trio, name)]) for name in ("masked", "clean", "partner")
        }
        twin = bool(faces.photos[trio.masked] == faces.photos[trio.clean])
        pairs.append(
            {**keys, "twin": twin, "models": {model: rows[at] for model, rows in by_model.items()}}
        )
    return {"grid": GRID, "patch": PATCH, "pairs": pairs}
