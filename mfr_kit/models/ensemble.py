"""Several recognisers as one: the mean of their normalised embeddings."""

import hashlib

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.models import identity
from mfr_kit.models.lineage import trained_on


class EnsembleEmbedder:
    """The mean of the members' unit embeddings, itself an `Embedder`.

    Embedding spaces of separately trained members are unrelated, so products across members nearly
    cancel and the cosine of two means is about the mean of the members' cosines.

    Args:
        members: at least two embedders with one embedding size.
    Raises:
        KitError: fewer than two, one that is named twice, or sizes that differ.
    """

    lineage: dict | None

    def __init__(self, members: list):
        sizes = {member.embedding_size for member in members}
        if len(members) < 2 or len(
            {identity.digest(identity.describe_model(member)) for member in members}
        ) < len(members):
            raise KitError(
                "an ensemble needs two or more different models, found "
                f"{', '.join(member.name for member in members)}"
            )
        if len(sizes) > 1:
            each_size = ", ".join(f"{member.name} {member.embedding_size}" for member in members)
            raise KitError(f"the models of an ensemble need one embedding size, found {each_size}")
        self.members, self.embedding_size = members, sizes.pop()
        self.name = "+".join(member.name for member in members)
        self.fingerprint = hashlib.sha256(
            "".join(member.fingerprint for member in members).encode()
        ).hexdigest()
        self.lineage = {
            "trained_on": list(
                dict.fromkeys(name for member in members for name in trained_on(member.lineage))
            )
        }

    def embed(self, faces: np.ndarray) -> np.ndarray:
        """(B, 112, 112, 3) uint8 RGB -> (B, D) float32 of length 0 .. 1: the longer, the more
        the members agree.
        """
        total = np.zeros((len(faces), self.embedding_size), np.float32)
        for member in self.members:
            embeddings = member.embed(faces)
            total += embeddings / np.maximum(
                np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12
            )
        return total / len(self.members)
