"""Masks drawn on the unmasked faces of a set, so that any clean set can be measured with masks, and
by everybody with the same ones.

A face's mask depends on the seed and on the face's key in the set, on nothing else. The digests
tell whether two people measured the same: that of the parameters is the same on every machine, that
of the pixels may also change with the versions of OpenCV and numpy.
"""

import hashlib
import json
from collections.abc import Callable

import numpy as np

from mfr_kit.data.face_set.faceset import MASK, FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.faces import Faces, unit
from mfr_kit.masks import library
from mfr_kit.masks.render import render
from mfr_kit.seeding import key_of, rng_for


class MaskedFaces:
    """The unmasked faces of a set, each under a drawn mask; what `embed_set` asks of a face set.

    Attributes:
        faceset: the unmasked faces.
        seed: of the draw.
        masks: (N,) JSON of the parameters, with the share of the face that is covered.
        about: seed, number of faces and of looks, and the SHA-256 of parameters and pixels.
        fingerprint: the SHA-256 of the pixels.
    """

    def __init__(
        self, faceset: FaceSet, seed: int, progress: Callable[[int], None] = lambda done: None
    ) -> None:
        """Draw every mask once.

        Args:
            faceset: a face set; its masked faces are left out.
            seed: >= 0.
            progress: told of every face done.
        Raises:
            KitError: it has no unmasked faces, or one whose landmarks are unusable.
        """
        self.faceset, self.seed = faceset.clean(), seed
        if not len(self.faceset):
            raise KitError(f"{faceset.name} has no unmasked faces to draw masks on")
        self._looks = library.load()
        parameters, pixels, masks = hashlib.sha256(), hashlib.sha256(), []
        for row, key in enumerate(self.faceset.keys):
            image, draw_record, share = draw(self.faceset, row, seed, self._looks)
            parameters.update(f"{key}\n{json.dumps(draw_record, sort_keys=True)}\n".encode())
            pixels.update(image.tobytes())
            masks.append(json.dumps({**draw_record, "coverage": round(share, 3)}, sort_keys=True))
            progress(1)
        self.masks, self.fingerprint = np.array(masks, object), pixels.hexdigest()
        self.about = {
            "seed": seed,
            "faces": len(self),
            "looks": len(self._looks.looks),
            "parameters_sha256": parameters.hexdigest(),
            "pixels_sha256": self.fingerprint,
        }

    def __len__(self) -> int:
        return len(self.faceset)

    def image(self, index: int) -> np.ndarray:
        """(112, 112, 3) uint8 RGB pixels of a face with its mask."""
        return draw(self.faceset, index, self.seed, self._looks)[0]

    def faces(self, embeddings: np.ndarray) -> Faces:
        """Join their embeddings, (N, D) of any norm, with who they show; a masked face is of the
        photograph of its unmasked one.
        """
        keys = self.faceset.keys
        found, condition = np.ones(len(self), bool), np.full(len(self), MASK, object)
        rows = unit(embeddings, [f"{key} with its drawn mask" for key in keys])
        return Faces(
            rows,
            self.faceset.identities,
            keys,
            condition,
            found,
            keys,
            self.masks,
            self.faceset.sources,
        )


def draw(
    faceset: FaceSet, row: int, seed: int, looks: library.Library
) -> tuple[np.ndarray, dict, float]:
    """Draw the mask that a seed gives a face.

    Args:
        faceset: a face set.
        row: of an unmasked face in it.
        seed: >= 0.
        looks: the masks to draw from, `library.load()`.
    Returns:
        (112, 112, 3) uint8 RGB pixels, the mask's parameters, and the share of the face that it
        covers.
    Raises:
        KitError: the face's landmarks are unusable.
    """
    rng = rng_for(seed, key_of(str(faceset.keys[row])))
    mask = looks.draw(rng)
    try:
        image, coverage = render(faceset.image(row), faceset.points(row), mask, rng)
    except KitError as error:
        raise KitError(f"{faceset.keys[row]}: no mask can be drawn: {error}") from None
    return image, mask.parameters, float(coverage.mean()) / 255
