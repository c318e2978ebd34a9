"""Whether what a recogniser gives can be an embedding: finite, with a direction, and not the
same for every face.
"""

import sys

import numpy as np

from mfr_kit.errors import KitError

# faces after which a recogniser that gave one constant is refused, before it has seen them all
ENOUGH = 16
ROUNDING = 1e-6  # of the length: embeddings that differ by less are one
COLLAPSED = 1e-3  # of the length: the spread below which embeddings tell nobody apart


MEND = "its weights are broken, or it wants another input range (--normalisation)"


def refuse_broken(name: str, embeddings: np.ndarray, keys, mend: str = MEND) -> None:
    """Refuse embeddings without a direction.

    Args:
        name: of the recogniser.
        embeddings: (N, D).
        keys: (N,) what the faces are called.
        mend: what may be wrong, or what to do.
    Raises:
        KitError: a row is not finite or all zeros; names the recogniser and the first such face.
    """
    norms = np.linalg.norm(np.asarray(embeddings, np.float64), axis=1)
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if not len(bad):
        return
    what = "an all-zero" if norms[bad[0]] == 0 else "a non-finite"
    counted = f"{len(bad)} of {len(norms)} faces"
    raise KitError(f"{name} gave {what} embedding for {keys[bad[0]]} ({counted}): {mend}")


class ConstantCheck:
    """Watches a recogniser's embeddings go by, and refuses it when different faces all get the same
    one.

    Args:
        name: of the recogniser.
    """

    def __init__(self, name: str) -> None:
        self._name, self._seen = name, 0
        self._face: np.ndarray | None = None
        self._row: np.ndarray | None = None
        self._faces_differ = self._rows_differ = False

    def see(self, faces: np.ndarray, embeddings: np.ndarray) -> None:
        """Take (B, H, W, 3) faces, not mirrored, and their (B, D) embeddings.

        Raises:
            KitError: enough different faces got one embedding.
        """
        if self._rows_differ or not len(faces):
            return
        if self._face is None or self._row is None:
            self._face = np.array(faces[0])
            self._row = np.array(embeddings[0], np.float64)
        self._seen += len(faces)
        self._faces_differ = self._faces_differ or bool((faces != self._face).any())
        limit = ROUNDING * np.linalg.norm(self._row)
        self._rows_differ = bool((np.abs(embeddings - self._row) > limit).any())
        if self._seen >= ENOUGH:
            self.finish()

    def finish(self) -> None:
        """Judge what was seen.

        Raises:
            KitError: different faces all got one embedding.
        """
        if self._faces_differ and not self._rows_differ:
            raise KitError(
                f"{self._name} gives one and the same embedding for {self._seen} different "
                f"faces: {MEND}"
            )


def warn_collapsed(name: str, embeddings: np.ndarray, sample: int = 1024) -> None:
    """Say on the screen that a recogniser's embeddings hardly differ between faces, as an
    untrained or collapsed network's do.
    """
    rows = np.asarray(embeddings[:: max(1, len(embeddings) // sample)], np.float64)
    if len(rows) < 2:
        return
    middle = rows.mean(axis=0)
    length = np.linalg.norm(middle)
    share = np.linalg.norm(rows - middle, axis=1).mean() / length if length > 0 else np.inf
    if share < COLLAPSED:
        line = (
            f"warning: the embeddings of {name} differ by {share:.1e} of their length: it is "
            "untrained or has collapsed"
        )
        print(line, file=sys.stderr)
