"""How well clusters agree with people who are known."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Agreement:
    """Shares in [0, 1]; a precision is 1 where nothing was merged, a recall where there was nothing
    to merge.

    Source: pairs, as in verification; BCubed, Amigo et al., A comparison of extrinsic clustering
    evaluation metrics based on formal constraints (2009): the mean over faces of the share of
    their cluster that is their person's, and of the share of their person that is in their cluster.
    """

    pair_precision: float
    pair_recall: float
    bcubed_precision: float
    bcubed_recall: float

    @property
    def pair_f(self) -> float:
        """Harmonic mean of both."""
        return _harmonic(self.pair_precision, self.pair_recall)

    @property
    def bcubed_f(self) -> float:
        """Harmonic mean of both."""
        return _harmonic(self.bcubed_precision, self.bcubed_recall)


def measure(clusters: np.ndarray, people: np.ndarray) -> Agreement:
    """Compare (N,) clusters with (N,) people, both whole numbers from 0, N >= 1."""
    width = int(people.max()) + 1
    key, together = np.unique(clusters.astype(np.int64) * width + people, return_counts=True)
    in_cluster, of_person = np.bincount(clusters), np.bincount(people)
    both, merged, wanted = (_pairs(sizes) for sizes in (together, in_cluster, of_person))
    weight = together.astype(np.float64) ** 2
    return Agreement(
        both / merged if merged else 1.0,
        both / wanted if wanted else 1.0,
        float((weight / in_cluster[key // width]).sum()) / len(clusters),
        float((weight / of_person[key % width]).sum()) / len(clusters),
    )


def _pairs(sizes: np.ndarray) -> int:
    return sum(size * (size - 1) // 2 for size in sizes.tolist())


def _harmonic(precision: float, recall: float) -> float:
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0
