"""Several recognisers as one: the mean of their normalised embeddings, or these side by side."""

import hashlib

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.models import identity
from mfr_kit.models.lineage import trained_on


class EnsembleEmbedder:
    """The members' unit embeddings as one, itself an `Embedder`.

    Of one size, their mean: embedding spaces of separately trained members are unrelated, so
    products across members nearly cancel and the cosine of two means is about the mean of the
    members' cosines. Of several sizes, one behind the other: the cosine is that mean exactly.

    Args:
        members: at least two embedders.
    Raises:
        KitError: fewer than two, or one that is named twice.
    """

    lineage: dict | None

    def __init__(self, members: list):
        if len(members) < 2 or len(
            {identity.digest(identity.describe_model(member)) for member in members}
        ) < len(members):
            raise KitError(
                "an ensemble needs two or more different models, found "
                f"{', '.join(member.name for member in members)}"
            )
        sizes = [member.embedding_size for member in members]
        self._averages = len(set(sizes)) == 1
        self.members, self.embedding_size = members, sizes[0] if self._averages else sum(sizes)
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
        """(B, 112, 112, 3) uint8 RGB -> (B, D) float32 of length 0 .. 1: of a mean, the longer,
        the more the members agree; side by side, always 1.
        """
        if not self._averages:
            units = [_units(member.embed(faces)) for member in self.members]
            return np.concatenate(units, axis=1) / np.float32(np.sqrt(len(units)))
        total = np.zeros((len(faces), self.embedding_size), np.float32)
        for member in self.members:
            total += _units(member.embed(faces))
        return total / len(self.members)


def _units(embeddings: np.ndarray) -> np.ndarray:
    return embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
