"""One photograph to its rows of a face set: the clean face and, for some, a masked twin."""

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mfr_kit.data.alignment.align import NARROW, SIZE, as_crop, chain, warp
from mfr_kit.data.alignment.align_photo import (
    AlignedFace,
    View,
    align,
    align_again,
    find,
    find_in_crop,
    take_as_aligned,
)
from mfr_kit.data.alignment.detection import Detection, Detector
from mfr_kit.data.alignment.face_choice import ALL, PROMINENT, SEVERAL
from mfr_kit.data.face_set import faceset
from mfr_kit.data.images import NoImage, read_picture
from mfr_kit.data.photographs.face_names import TWIN
from mfr_kit.data.photographs.folder_tree import readable
from mfr_kit.data.photographs.photos import Photo
from mfr_kit.seeding import key_of, rng_for

PutOn = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray, dict]]
"""A face or photograph, landmarks, generator -> the same with a mask on, (H, W) uint8 coverage,
what was drawn (JSON-able).
"""

Made = tuple[list[dict], list[dict]]  # rows for `faces.parquet` and for `skipped.csv`
Steps = Generator[np.ndarray, list[Detection], Made]
"""Yields a picture, is sent what the detector finds in it, and returns what is made."""


@dataclass(frozen=True)
class FaceMaker:
    """Everything that turns photographs into faces; one a worker process."""

    source: Path  # the folder of people's folders
    detector: Detector | None  # None: the photographs are aligned faces
    # finds landmarks in aligned faces, for the masks alone; None: the template's
    finder: Detector | None
    put_on: PutOn
    ratio: float  # share of faces that get a twin, 0..1
    seed: int
    on_photo: bool  # masks are drawn before the detection
    suffix: str  # ".jpg" or ".png"
    upright: bool = False  # turn photographs that lie on their side or upside down
    faces: str = PROMINENT  # which of several: a rule of `pick_faces`
    batch: int = 1  # photographs to be made together
    own_ratios: Mapping[str, float] = field(default_factory=dict)  # of people with another share

    def make(self, photo: Photo) -> Made:
        """Make the face (and twin) of one photograph, see `make_many`."""
        return self.make_many([photo])[0]

    def make_many(self, photos: Sequence[Photo]) -> list[Made]:
        """Make the face (and twin) of each photograph, or with the rule all every face; the
        detector is shown as many pictures at once as there are photographs.

        Returns:
            of each, rows for `faces.parquet`, each with its (112, 112, 3) `image` instead of a
            `digest`, and rows for `skipped.csv`.
        """
        makers: dict[int, Steps] = {n: self._steps(photo) for n, photo in enumerate(photos)}
        answers: dict[int, Any] = dict.fromkeys(makers)  # None starts them
        made: dict[int, Made] = {}
        while answers:
            asked: dict[int, np.ndarray] = {}
            for number, found in answers.items():
                try:
                    asked[number] = makers[number].send(found)
                except StopIteration as end:
                    made[number] = end.value
            answers = dict(zip(asked, self._look(list(asked.values())), strict=True))
        return [made[number] for number in makers]

    def _look(self, images: list[np.ndarray]) -> list[list[Detection]]:
        if self.detector is None or len(images) < 2:
            return [self.detector.detect(image) for image in images if self.detector]
        return self.detector.detect_many(images)

    def _steps(self, photo: Photo) -> Steps:
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
        if self.detector is None:
            view, face = find_in_crop(picture, self.finder)
            return (yield from self._with_twin(photo, view, face, photo.source))
        found = yield picture.image
        view, faces = find(picture, self.detector, self.upright, self.faces, found)
        if not faces:
            return [], [_skipped(photo, faceset.NO_FACE, size)]
        return (yield from self._of_faces(photo, view, faces))

    def _of_faces(self, photo: Photo, view: View, faces: list[Detection]) -> Steps:
        """Make the rows of the faces that were picked; of all faces each has a number."""
        if view.faces > 1:
            view = view._replace(note=", ".join(filter(None, (view.note, SEVERAL))))
        if self.faces != ALL:
            return (yield from self._with_twin(photo, view, faces[0], photo.source))
        rows, skipped = [], []
        for number, face in enumerate(faces, 1):
            numbered = replace(photo, stem=f"{photo.stem}#{number}")
            made = yield from self._with_twin(numbered, view, face, f"{photo.source}#{number}")
            rows += made[0]
            skipped += made[1]
            view = view._replace(note="")  # said of the photograph, once
        return rows, skipped

    def _with_twin(self, photo: Photo, view: View, face: Detection, name: str) -> Steps:
        """Make the rows of one face; its twin's mask depends on the name."""
        aligned = (take_as_aligned if self.detector is None else align)(view.image, face)
        clean = self._row(photo, f"faces/{photo.stem}{self.suffix}", view, aligned)
        rng = rng_for(self.seed, key_of(name))
        ratio = self.own_ratios.get(photo.identity, self.ratio)
        if photo.condition == faceset.MASK or rng.random() >= ratio:
            return [clean], []
        twin, skipped = yield from self._twin(photo, view, face, aligned, clean["key"], rng)
        return [clean, *twin], skipped

    def _twin(
        self,
        photo: Photo,
        view: View,
        face: Detection,
        aligned: AlignedFace,
        clean_key: str,
        rng: np.random.Generator,
    ) -> Steps:
        """Draw a mask, on the photograph before it is detected again or on the aligned face."""
        if self.on_photo and self.detector is not None:
            masked, coverage, parameters = self.put_on(view.image, face.points, rng)
            found = yield masked
            again = align_again(masked, face, self.detector, found)
            if again is None:
                detail = "not found again under its mask"
                not_found = _skipped(photo, faceset.NO_FACE, detail, clean_key)
                return [], [{**not_found, "condition": faceset.MASK}]
            covered = warp(coverage, again.matrix)
        else:
            masked, covered, parameters = self.put_on(aligned.image, aligned.landmarks, rng)
            again = aligned._replace(image=masked)
        share = round(float(covered.mean()) / 255, 3)
        row = self._row(photo, f"faces/{photo.stem}{TWIN}{self.suffix}", view, again)
        row["note"] = ""  # said of its clean face
        mask = json.dumps({**parameters, "coverage": share}, sort_keys=True)
        return [{**row, "condition": faceset.MASK, "clean_key": clean_key, "mask": mask}], []

    def _row(self, photo: Photo, key: str, view: View, face: AlignedFace) -> dict:
        matrix = chain(view.matrix, face.matrix)
        return {
            "image": face.image,
            "key": key,
            "source": photo.source,
            "identity": photo.identity,
            "condition": photo.condition,
            "landmarks": face.landmarks.ravel().tolist(),
            "similarity": [*matrix[:, 0].tolist(), *matrix[:, 2].tolist()],
            "score": face.score,
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
