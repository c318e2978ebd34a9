"""A masked view of every face of a set, drawn when it is read: what a frozen recogniser's bank
of masked faces is made of.
"""

import functools
import hashlib
import threading
from pathlib import Path

import numpy as np

from mfr_kit.adapt.options import AdaptOptions
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.masks import library
from mfr_kit.seeding import rng_for
from mfr_kit.training.views import drift
from mfr_kit.training.views.view import Views


class MaskedViews:
    """The views of one pass over a face set, as pictures that `bank.store` takes; threads may read
    them.

    Args:
        faces: clean faces.
        masks: what `options` chose to draw from.
        options: recipe, seed, and where the masks came from.
        drifts: see `Views`.
        number: of the pass, 0, 1, ...; each has other masks.
    """

    def __init__(
        self,
        faces: FaceSet,
        masks: library.Library,
        options: AdaptOptions,
        drifts: np.ndarray | None,
        number: int,
    ):
        self._faces, self._masks, self._options, self._drifts, self._number = (
            faces,
            masks,
            options,
            drifts,
            number,
        )
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
        options = self._options
        told = [
            self._faces.fingerprint,
            repr(options.recipe),
            drift.describe(self._drifts),
            str(options.seed),
            str(self._number),
        ]
        # The mix as it was merged: a folder without mix.toml takes the kit's.
        told += [repr(self._masks.shares), repr(self._masks.mix)]
        digest = hashlib.sha256("\0".join(told).encode())
        for path in _files(options.mask_folder or library.FOLDER):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()

    def image(self, index: int) -> np.ndarray:
        """(112, 112, 3) uint8 RGB: the face with a mask on."""
        if not hasattr(self._own, "views"):
            self._own.views = Views(self._options.recipe, self._masks, self._drifts)
        rng = rng_for(self._options.seed, self._number, index)
        return self._own.views.draw(self._faces.image(index), self._faces.points(index), rng).image


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
