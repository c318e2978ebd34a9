"""Faces of a set as small pictures inside a page: data URIs, nothing beside the file."""

import base64
from pathlib import Path

import cv2
import numpy as np

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.drawn_masks import draw
from mfr_kit.masks import library

QUALITY = 80  # of the JPEGs: about 3 KB a face
# magenta and green: told apart by all eyes, and no model's colours where there are two
LOWERS, RAISES = np.array([197, 27, 125], np.float32), np.array([77, 146, 33], np.float32)


class Album:
    """Pictures of the faces of a set, by key.

    Args:
        folder: of the face set.
        keys: all that will be asked for.
    Raises:
        KitError: a key is not in the set.
    """

    def __init__(self, folder: Path, keys: set[str]) -> None:
        self._set = FaceSet.open(folder)
        self._row = {key: row for row, key in enumerate(self._set.keys) if key in keys}
        missing = sorted(keys - self._row.keys())
        if missing:
            raise KitError(
                f"{folder}: '{missing[0]}' is not in the set any more, and the report wants its "
                "picture"
            )
        self._known: dict[str, str] = {}
        self._looks: library.Library | None = None

    def picture(self, key: str) -> str:
        """Return a face as a data URI."""
        if key not in self._known:
            self._known[key] = data_uri(self._set.image(self._row[key]))
        return self._known[key]

    def draw(self, key: str, seed: int) -> str:
        """Return a face under the mask that `--protocol synthetic-mask` drew on it, as a data
        URI.
        """
        if self._looks is None:
            self._looks = library.load()
        return data_uri(draw(self._set, self._row[key], seed, self._looks)[0])

    def heat(self, key: str, falls: list[list[float]], top: float) -> str:
        """Return a face under its map as a data URI: magenta where hiding a part lowers the cosine,
        green where it raises it.

        Args:
            key: of the face.
            falls: rows of numbers, see `explain.explain`.
            top: the fall that is shown in full colour, above 0.
        """
        return data_uri(overlay(self._set.image(self._row[key]), np.array(falls, np.float32), top))


def overlay(face: np.ndarray, falls: np.ndarray, top: float) -> np.ndarray:
    """Lay a map over a greyed face.

    Args:
        face: (H, W, 3) uint8 RGB.
        falls: (R, C) float32, of any sign.
        top: the absolute value that is shown in full colour, above 0.
    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = face.shape[:2]
    share = np.clip(
        cv2.resize(falls / np.float32(top), (width, height), interpolation=cv2.INTER_LINEAR), -1, 1
    )[:, :, None]
    grey = face.mean(axis=2, keepdims=True, dtype=np.float32)
    weight = 0.75 * np.abs(share)
    return (
        ((1 - weight) * grey + weight * np.where(share > 0, LOWERS, RAISES))
        .round()
        .astype(np.uint8)
    )


def data_uri(image: np.ndarray) -> str:
    """(H, W, 3) uint8 RGB -> `data:image/jpeg;base64,...`."""
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    if not done:
        raise KitError(f"cannot encode an image of shape {image.shape} as a JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
