"""Verification sets as `.bin` (LFW, CFP-FP, AgeDB-30, CALFW, CPLFW): accuracy in ten folds, as
InsightFace's evaluation computes it.

The embeddings of an image and its mirror image are summed and brought to length one. Two images
show one person where the squared distance of their embeddings is BELOW a threshold, one of 0, 0.01,
..., 3.99; of thresholds equally good on the other nine folds the smallest is taken. Folds are
consecutive; the first ones hold a pair more where the number of pairs is not a multiple of ten.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from mfr_kit import assets
from mfr_kit.data.alignment.align import SIZE
from mfr_kit.data.face_set.faceset import NONMASK
from mfr_kit.data.images import decode_rgb
from mfr_kit.data.verification_sets.bins import read_bin
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.embed import embed_set
from mfr_kit.evaluation.inputs.faces import Faces, unit
from mfr_kit.evaluation.verification.pair_list import PairList
from mfr_kit.evaluation.verification.rates import Outcome, Plan, verify, with_accuracy
from mfr_kit.models.embedders import Embedder

FOLDS = 10
THRESHOLDS = np.arange(0, 4, 0.01)  # squared distances of unit vectors


class BinSet:
    """A verification set: its images are decoded when asked for, out of the memory-mapped file.

    Attributes:
        name: the file's name.
        protocol: under which reports list it.
        same: (P,) bool, whether images 2p and 2p + 1 show one person.
        fingerprint: SHA-256 of the file.
    """

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            KitError: see `read_bin`; fewer pairs than folds, or pairs of one kind only.
        """
        images, same = read_bin(path)
        self._path, self._images, self.same = Path(path), images, np.array(same, bool)
        self.name, self.protocol = self._path.name, f"bin-{self._path.stem}"
        if len(same) < FOLDS or self.same.all() or not self.same.any():
            counted = (
                f"{int(self.same.sum())} pairs of one person and {int((~self.same).sum())} of two"
            )
            raise KitError(f"{path}: {counted}; {FOLDS} folds need {FOLDS} pairs, and both kinds")
        self.fingerprint = assets.sha256_of(self._path)

    def __len__(self) -> int:
        return len(self._images)

    def image(self, index: int) -> np.ndarray:
        """(112, 112, 3) uint8 RGB pixels of an image.

        Raises:
            KitError: it cannot be decoded, or is of another size.
        """
        where = f"{self._path}: image {index}"
        face = decode_rgb(bytes(self._images[index]), where)
        if face.shape != (SIZE, SIZE, 3):
            raise KitError(
                f"{where} has {face.shape[1]}x{face.shape[0]} pixels, aligned faces have "
                f"{SIZE}x{SIZE}"
            )
        return face

    @property
    def title(self) -> str:
        """How reports head it."""
        return f"verification set {self.name}, accuracy in folds"

    @property
    def about(self) -> dict:
        """What a report says of the set."""
        counted = {
            "pairs": len(self.same),
            "same": int(self.same.sum()),
            "fingerprint": self.fingerprint,
        }
        return {"name": self.name, "protocol": self.protocol, **counted}


def open_bins(paths: list[Path]) -> list[BinSet]:
    """Open several verification sets.

    Raises:
        KitError: see `BinSet`; or two of one name, which a report could not tell apart.
    """
    bins = [BinSet(path) for path in paths]
    names = [entry.name for entry in bins]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise KitError(f"--bin: two files are called {twice[0]}; a report tells sets apart by name")
    return bins


def measure(
    embedder: Embedder,
    pairs: BinSet,
    plan: Plan,
    *,
    batch: int,
    cache: Path | None,
    progress: Callable[[int], None] = lambda done: None,
) -> Outcome:
    """Embed a verification set with a model and measure it.

    Args:
        embedder: from `load_embedder`.
        pairs: the set.
        plan: its FARs and resamples; a .bin does not say who its people are, so that its pairs are
            resampled.
        batch: images a run of the network, each with its mirror image in a second run.
        cache: folder of stored results, None for none.
        progress: told the number of images of every batch done.
    Returns:
        The result of `verify` on the listed pairs, with `accuracy` (see `insightface_accuracy`).
    Raises:
        KitError: an image cannot be read, or an embedding has no direction.
    """
    raw = embed_set(embedder, pairs, flip=True, batch=batch, cache=cache, progress=progress)
    rows = unit(raw, [f"{pairs.name}: image {index}" for index in range(len(raw))])
    left, right = np.arange(0, len(rows), 2), np.arange(1, len(rows), 2)
    listed = PairList(_faces(rows), left, right, pairs.same, named=False)
    try:
        outcome = verify(listed, replace(plan, worst=0))
    except KitError as error:
        raise KitError(f"{pairs.name}: {error}") from None
    accuracy, correct = insightface_accuracy(raw[left], raw[right], pairs.same)
    return with_accuracy(outcome, listed, accuracy, correct, plan)


def insightface_accuracy(
    left: np.ndarray, right: np.ndarray, same: np.ndarray
) -> tuple[dict, np.ndarray]:
    """Accuracy of each fold at the threshold that is best on all others.

    Args:
        left: (P, D) embeddings of any norm, image and mirror image summed.
        right: (P, D) those of the other images.
        same: (P,) bool.
    Returns:
        `mean` and `std` over the folds, `folds`, and `thresholds` (squared distances); and (P,)
        bool, which pairs are told rightly.
    Source: insightface, recognition/_evaluation_/verification.py.
    """
    left, right = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for rows in (left.astype(np.float64), right.astype(np.float64))
    )
    distances = ((left - right) ** 2).sum(axis=1)
    right_at = (distances[None, :] < THRESHOLDS[:, None]) == same[None, :]
    accuracies, chosen, correct = [], [], []
    for fold in np.array_split(np.arange(len(same)), FOLDS):
        elsewhere = right_at.sum(axis=1) - right_at[:, fold].sum(axis=1)
        best = int(elsewhere.argmax())
        accuracies.append(float(right_at[best, fold].mean()))
        chosen.append(float(THRESHOLDS[best]))
        correct.append(right_at[best, fold])
    found = {
        "mean": float(np.mean(accuracies)),
        "std": float(np.std(accuracies)),
        "folds": accuracies,
        "thresholds": chosen,
    }
    return found, np.concatenate(correct)


def _faces(rows: np.ndarray) -> Faces:
    """Number the images: nobody is known, so every image is a person and a photograph of its
    own.
    """
    names = np.array([f"image {index}" for index in range(len(rows))], object)
    nothing = np.full(len(rows), "", object)
    return Faces(
        rows,
        names,
        names,
        np.full(len(rows), NONMASK, object),
        np.ones(len(rows), bool),
        names,
        nothing,
        names,
    )
