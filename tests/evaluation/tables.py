"""Tables of made-up faces, and every figure recomputed the slow way: one Python list of all
comparisons, fully sorted.
"""

import itertools
from fractions import Fraction

import numpy as np

from mfr_kit.evaluation.inputs.faces import Faces


def table(embeddings: np.ndarray, people, photos=None, conditions=None, found=None) -> Faces:
    count = len(embeddings)
    photos = [f"photo{i}" for i in range(count)] if photos is None else photos
    return Faces(
        np.asarray(embeddings, np.float32),
        np.array([str(name) for name in people], object),
        np.array([f"{who}/{photo}" for who, photo in zip(people, photos, strict=True)], object),
        np.array(["nonmask"] * count if conditions is None else conditions, object),
        np.ones(count, bool) if found is None else np.asarray(found, bool),
        np.array([f"key{i}" for i in range(count)], object),
        np.array([""] * count, object),
        np.array([f"source{i}" for i in range(count)], object),
    )


def coarse(
    rng: np.random.Generator,
    count: int,
    people: int,
    levels: int = 3,
    size: int = 6,
    lost: float = 0.1,
) -> Faces:
    """Embeddings of few dyadic values: their products are exact in float32 in any order, and
    many scores tie.
    """
    centres = rng.integers(-levels, levels + 1, (people, size))
    who = rng.integers(0, people, count)
    wide = np.clip(centres[who] + rng.integers(-1, 2, (count, size)), -levels, levels)
    photos = rng.integers(0, max(count // 2, 1), count)
    scale = 2.0 ** np.ceil(np.log2(levels * np.sqrt(size)))
    return table(wide / scale, who, photos, found=rng.random(count) >= lost)


def listed(probe: Faces, gallery: Faces | None = None) -> tuple[list[float], list[float]]:
    """All (genuine, impostor) scores, -inf where a face was not found."""
    if gallery is None:
        both = [((probe, i), (probe, j)) for i, j in itertools.combinations(range(len(probe)), 2)]
    else:
        both = [((probe, i), (gallery, j)) for i in range(len(probe)) for j in range(len(gallery))]
    genuine, impostor = [], []
    for (left, i), (right, j) in both:
        score = (
            float(np.dot(left.embeddings[i], right.embeddings[j]))
            if left.found[i] and right.found[j]
            else -np.inf
        )
        if left.people[i] != right.people[j]:
            impostor.append(score)
        elif left.photos[i] != right.photos[j]:
            genuine.append(score)
    return genuine, impostor


def tar_by_sorting(genuine: list[float], impostor: list[float], far: float) -> tuple[float, int]:
    """The definition, word for word: the greatest TAR over all thresholds whose FAR <= far; and
    the false accepts there.
    """
    allowed = Fraction(repr(far)) * len(impostor)
    thresholds = [*sorted({s for s in genuine + impostor if np.isfinite(s)}), np.inf]
    options = [(sum(s >= t for s in genuine), sum(s >= t for s in impostor)) for t in thresholds]
    accepted, false = max(
        (pair for pair in options if pair[1] <= allowed), key=lambda pair: (pair[0], pair[1])
    )
    return accepted / len(genuine), false


def eer_by_sorting(genuine: list[float], impostor: list[float]) -> float:
    thresholds = [*sorted({s for s in genuine + impostor if np.isfinite(s)}), np.inf]
    best = None
    for t in thresholds:
        far, frr = (
            Fraction(sum(s >= t for s in impostor), len(impostor)),
            Fraction(sum(s < t for s in genuine), len(genuine)),
        )
        best = min(best or (np.inf,), (abs(far - frr), far + frr))
    return float(best[1]) / 2
