"""A masked view of every face of a set, drawn when it is read: what a frozen recogniser's bank
of masked faces is made of.
"""

import functools
import hashlib
import threading
from pathlib import Path

import numpy as np

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.masks import library
from mfr_kit.seeding import rng_for
from mfr_kit.training.views import drift
from mfr_kit.training.views.view import ViewRecipe, Views


class MaskedViews:
    """The views of one pass over a face set, as pictures that `bank.store` takes; threads may read
    them.

    Args:
        faces: clean faces.
        masks: to draw from.
        mask_folder: where they came from; None for the kit's own.
        recipe: how views are drawn.
        drifts: see `Views`.
        seed: of everything random.
        number: of the pass, 0, 1, ...; each has other masks.
    """

    def __init__(
        self,
        faces: FaceSet,
        masks: library.Library,
        mask_folder: Path | None,
        recipe: ViewRecipe,
        drifts: np.ndarray | None,
        seed: int,
        number: int,
    ):
        self._faces, self._masks, self._folder = faces, masks, mask_folder or library.FOLDER
        self._recipe, self._drifts, self._seed, self._number = recipe, drifts, seed, number
        # albumentations' transforms carry the generator of the sample they are at
        self._own = threading.local()
        self.name, self.keys = f"masked view {number + 1} of {faces.name}", faces.keys

    def __len__(self) -> int:
        return len(self._faces)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all that the pictures depend on, but for the versions of the kit, OpenCV
        and numpy.
        """
        parts = [
            self._faces.fingerprint,
            repr(self._recipe),
            drift.describe(self._drifts),
            str(self._seed),
            str(self._number),
        ]
        # The mix as it was merged: a folder without mix.toml takes the kit's.
        parts += [repr(self._masks.shares), repr(self._masks.mix)]
        digest = hashlib.sha256("\0".join(parts).encode())
        for path in _files(self._folder):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()

    def image(self, index: int) -> np.ndarray:
        """(112, 112, 3) uint8 RGB: the face with a mask on."""
        if not hasattr(self._own, "views"):
            self._own.views = Views(self._recipe, self._masks, self._drifts)
        rng = rng_for(self._seed, self._number, index)
        return self._own.views.draw(self._faces.image(index), self._faces.points(index), rng).image


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
