"""One photograph to its rows of a face set: the clean face and, for some, a masked twin."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfr_kit.data import faceset
from mfr_kit.data.align import SIZE, TEMPLATE, estimate_similarity, transform_points, warp
from mfr_kit.data.detect import Detection, Detector, pick_face, same_face
from mfr_kit.data.images import SUFFIXES, encode, read_rgb
from mfr_kit.data.photos import TWIN, Photo
from mfr_kit.errors import KitError
from mfr_kit.masks.library import Library
from mfr_kit.masks.render import render
from mfr_kit.seeding import key_of, rng_for


@dataclass(frozen=True)
class FaceMaker:
    """Everything that turns photographs into faces; one a worker process."""

    source: Path  # the folder of people's folders
    detector: Detector | None  # None: the photographs are aligned faces
    library: Library
    ratio: float  # share of faces that get a twin, 0..1
    seed: int
    on_photo: bool  # masks are drawn before the detection
    suffix: str  # ".jpg" or ".png"

    def make(self, photo: Photo) -> tuple[list[dict], list[dict]]:
        """Make the face (and twin) of one photograph.

        Returns:
            rows for `faces.parquet`, each with its encoded image as `data`, and rows for `skipped.csv`.
        """
        if Path(photo.source).suffix.lower() not in SUFFIXES:
            return [], [_skipped(photo, "not_an_image", f"suffix '{Path(photo.source).suffix}'")]
        try:
            image = read_rgb(self.source / photo.source)
        except KitError as error:
            return [], [_skipped(photo, "unreadable", str(error))]
        face = self._find(image)
        if face is None:
            return [], [_skipped(photo, faceset.NO_FACE, f"{image.shape[1]}x{image.shape[0]} pixels")]
        aligned, points, matrix = self._align(image, face)
        clean = self._row(photo, f"faces/{photo.stem}{self.suffix}", aligned, points, matrix, face.score)
        rng = rng_for(self.seed, key_of(photo.source))
        if photo.condition == faceset.MASK or rng.random() >= self.ratio:
            return [clean], []
        twin, lost = self._twin(photo, image, face, clean, rng)
        return [clean, *twin], lost

    def _twin(
        self, photo: Photo, image: np.ndarray, face: Detection, clean: dict, rng: np.random.Generator
    ) -> tuple[list[dict], list[dict]]:
        """Draw a mask, on the photograph before it is detected again or on the aligned face."""
        mask = self.library.draw(rng)
        if self.on_photo and self.detector is not None:
            masked, coverage = render(image, face.points, mask, rng)
            again = same_face(self.detector.detect(masked), face)
            if again is None:
                lost = _skipped(photo, faceset.NO_FACE, "not found again under its mask", clean["key"])
                return [], [{**lost, "condition": faceset.MASK}]
            again = self.detector.settle(masked, again)
            aligned, points, matrix = self._align(masked, again)
            covered, score = warp(coverage, matrix), again.score
        else:
            aligned, points, matrix = self._align(image, face)
            aligned, covered = render(aligned, points, mask, rng)
            score = face.score
        share = round(float(covered.mean()) / 255, 3)
        row = self._row(photo, f"faces/{photo.stem}{TWIN}{self.suffix}", aligned, points, matrix, score)
        drawn = json.dumps({**mask.parameters, "coverage": share}, sort_keys=True)
        return [{**row, "condition": faceset.MASK, "clean_key": clean["key"], "mask": drawn}], []

    def _find(self, image: np.ndarray) -> Detection | None:
        if self.detector is not None:
            picked = pick_face(self.detector.detect(image), image.shape[:2])
            return None if picked is None else self.detector.settle(image, picked)
        height, width = image.shape[:2]
        return Detection(np.array([0, 0, width, height], np.float32), TEMPLATE * np.array([width, height], np.float32) / SIZE, 1.0)

    def _align(self, image: np.ndarray, face: Detection) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The aligned face, its landmarks there and the matrix to there; an aligned face of the right size stays as it is."""
        if self.detector is None and image.shape[:2] == (SIZE, SIZE):
            return image, face.landmarks, np.eye(2, 3)
        matrix = estimate_similarity(face.landmarks)
        return warp(image, matrix), transform_points(face.points, matrix), matrix

    def _row(self, photo: Photo, key: str, aligned: np.ndarray, points: np.ndarray, matrix: np.ndarray, score: float) -> dict:
        data = encode(aligned, self.suffix)
        return {
            "data": data,
            "key": key,
            "source": photo.source,
            "identity": photo.identity,
            "condition": photo.condition,
            "landmarks": points.ravel().tolist(),
            "similarity": [*matrix[:, 0].tolist(), *matrix[:, 2].tolist()],
            "score": score,
            "clean_key": "",
            "mask": "",
            "digest": faceset.digest_of(data),
        }


def _skipped(photo: Photo, reason: str, detail: str, clean_key: str = "") -> dict:
    return {
        "source": photo.source,
        "identity": photo.identity,
        "condition": photo.condition,
        "clean_key": clean_key,
        "reason": reason,
        "detail": detail,
    }
