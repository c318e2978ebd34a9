"""What a recogniser's precision costs, on some of the faces that it is about to embed."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mfr_kit.models.notes import say_once
from mfr_kit.models.parity import cosine_difference

FACES = 64  # that are embedded twice


def tell_rounding(
    embedder: Any, count: int, image: Callable[[int], np.ndarray], where: str
) -> list[tuple[float, float]]:
    """Say the mean and the worst cosine of embeddings to those in float32; nothing of a recogniser
    that is float32 itself.

    Args:
        embedder: from `load_embedder`; of an ensemble, each member.
        count: faces there are; up to `FACES`, evenly spread, are looked at.
        image: gives one of them, (112, 112, 3) uint8 RGB.
        where: what the line calls the faces.
    Returns:
        (mean, worst) cosine of each member that is not in float32.
    """
    rounded = [
        member
        for member in getattr(embedder, "members", None) or [embedder]
        if getattr(member, "precision", "float32") != "float32"
    ]
    if not rounded or not count:
        return []
    chosen = np.unique(np.linspace(0, count - 1, min(FACES, count)).astype(int))
    faces = np.stack([image(int(row)) for row in chosen])
    found = []
    for member in rounded:
        cosines = 1 - cosine_difference(member.embed(faces), member.embed_exact(faces))
        mean, worst = float(cosines.mean()), float(cosines.min())
        say_once(
            f"{member.name} in {member.precision}: cosine to float32 on {len(faces)} faces of "
            f"{where}: mean {mean:.6f}, worst {worst:.6f}"
        )
        found.append((mean, worst))
    return found
