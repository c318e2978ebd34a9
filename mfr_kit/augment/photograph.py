"""One photograph to its rows of a face set: the clean face and, for some, a masked twin."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mfr_kit.data import faceset
from mfr_kit.data.align import (
    NARROW,
    SIZE,
    TEMPLATE,
    as_crop,
    chain,
    estimate_similarity,
    transform_points,
    warp,
)
from mfr_kit.data.detection import Detection, Detector, pick_face, same_face
from mfr_kit.data.folder_tree import readable
from mfr_kit.data.images import NoImage, Picture, read_picture
from mfr_kit.data.photos import TWIN, Photo
from mfr_kit.data.upright import find_upright, turn, turn_matrix
from mfr_kit.seeding import key_of, rng_for

PutOn = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray, dict]]
"""A face or photograph, landmarks, generator -> the same with a mask on, (H, W) uint8 coverage,
what was drawn (JSON-able).
"""


class Frame(NamedTuple):
    """A face in the aligned frame."""

    image: np.ndarray  # (112, 112, 3) uint8 RGB
    points: np.ndarray  # (K, 2) landmarks in its pixels
    matrix: np.ndarray  # (2, 3), from the view to here


class View(NamedTuple):
    """A photograph as the detector sees it."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    matrix: np.ndarray  # (2, 3), from the photograph's own pixels to these
    note: str = ""  # what was done to it


@dataclass(frozen=True)
class FaceMaker:
    """Everything that turns photographs into faces; one a worker process."""

    source: Path  # the folder of people's folders
    detector: Detector | None  # None: the photographs are aligned faces
    finder: (
        Detector | None
    )  # finds landmarks in aligned faces, for the masks alone; None: the template's
    put_on: PutOn
    ratio: float  # share of faces that get a twin, 0..1
    seed: int
    on_photo: bool  # masks are drawn before the detection
    suffix: str  # ".jpg" or ".png"
    upright: bool = False  # turn photographs that lie on their side or upside down

    def make(self, photo: Photo) -> tuple[list[dict], list[dict]]:
        """Make the face (and twin) of one photograph.

        Returns:
            rows for `faces.parquet`, each with its (112, 112, 3) `image` instead of a `digest`, and
            rows for `skipped.csv`.
        """
        if photo.reason:
            return [], [_skipped(photo, photo.reason, photo.detail)]
        try:
            picture = read_picture(self.source / photo.source)
        except NoImage as error:
            return [], [_skipped(photo, error.reason, readable(str(error)))]
        size = f"{picture.width}x{picture.height} pixels"
        if self.detector is None and as_crop(picture.image) is None:
            wanted = f"--aligned takes {SIZE}x{SIZE} and {NARROW}x{SIZE}"
            return [], [_skipped(photo, "not_aligned", f"{size}; {wanted}")]
        view, face = self._find(picture)
        if face is None:
            return [], [_skipped(photo, faceset.NO_FACE, size)]
        frame = self._align(view.image, face)
        clean = self._row(photo, f"faces/{photo.stem}{self.suffix}", view, frame, face.score)
        rng = rng_for(self.seed, key_of(photo.source))
        if photo.condition == faceset.MASK or rng.random() >= self.ratio:
            return [clean], []
        twin, lost = self._twin(photo, view, face, frame, clean, rng)
        return [clean, *twin], lost

    def _twin(
        self,
        photo: Photo,
        view: View,
        face: Detection,
        frame: Frame,
        clean: dict,
        rng: np.random.Generator,
    ) -> tuple[list[dict], list[dict]]:
        """Draw a mask, on the photograph before it is detected again or on the aligned face."""
        if self.on_photo and self.detector is not None:
            masked, coverage, parameters = self.put_on(view.image, face.points, rng)
            again = same_face(self.detector.detect(masked), face)
            if again is None:
                lost = _skipped(
                    photo, faceset.NO_FACE, "not found again under its mask", clean["key"]
                )
                return [], [{**lost, "condition": faceset.MASK}]
            again = self.detector.settle(masked, again)
            worn = self._align(masked, again)
            covered, score = warp(coverage, worn.matrix), again.score
        else:
            aligned, covered, parameters = self.put_on(frame.image, frame.points, rng)
            worn, score = frame._replace(image=aligned), face.score
        share = round(float(covered.mean()) / 255, 3)
        row = self._row(photo, f"faces/{photo.stem}{TWIN}{self.suffix}", view, worn, score)
        row["note"] = ""  # said of its clean face
        drawn = json.dumps({**parameters, "coverage": share}, sort_keys=True)
        return [{**row, "condition": faceset.MASK, "clean_key": clean["key"], "mask": drawn}], []

    def _find(self, picture: Picture) -> tuple[View, Detection | None]:
        """Show a photograph as it has to be seen, and pick the face it is about."""
        if self.detector is None:
            view = View(*as_crop(picture.image), picture.note)
            return view, self._find_in_crop(view.image)
        matrix = picture.matrix
        if not self.upright:
            picked = pick_face(self.detector.detect(picture.image), picture.image.shape[:2])
            view = View(picture.image, matrix, picture.note)
        else:
            turns, picked = find_upright(self.detector, picture.image)
            turned = turn_matrix(turns, picture.image.shape[:2])
            note = f"turned by {turns * 90} degrees" if turns else ""
            note = ", ".join(filter(None, (picture.note, note)))
            view = View(turn(picture.image, turns), chain(matrix, turned), note)
        return view, None if picked is None else self.detector.settle(view.image, picked)

    def _find_in_crop(self, image: np.ndarray) -> Detection:
        """Take the template's landmarks for a crop's, or find better ones for the masks."""
        found = None if self.finder is None else pick_face(self.finder.detect(image), (SIZE, SIZE))
        better = None if found is None else self.finder.settle(image, found).points
        box = np.array([0, 0, SIZE, SIZE], np.float32)
        return Detection(box, TEMPLATE, 1.0, better)

    def _align(self, image: np.ndarray, face: Detection) -> Frame:
        """Bring a face into the aligned frame; an aligned face stays as it is."""
        if self.detector is None:
            return Frame(image, face.points, np.eye(2, 3))
        matrix = estimate_similarity(face.landmarks)
        return Frame(warp(image, matrix), transform_points(face.points, matrix), matrix)

    def _row(self, photo: Photo, key: str, view: View, frame: Frame, score: float) -> dict:
        matrix = chain(view.matrix, frame.matrix)
        return {
            "image": frame.image,
            "key": key,
            "source": photo.source,
            "identity": photo.identity,
            "condition": photo.condition,
            "landmarks": frame.points.ravel().tolist(),
            "similarity": [*matrix[:, 0].tolist(), *matrix[:, 2].tolist()],
            "score": score,
            "clean_key": "",
            "mask": "",
            "note": view.note,
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
