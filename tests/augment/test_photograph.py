"""What one photograph gives: every photograph is counted once as itself and at most once as a
twin, whatever the detector misses.
"""

import itertools

import numpy as np
import pytest

from mfr_kit.augment.photograph import FaceMaker
from mfr_kit.data.alignment.align import TEMPLATE
from mfr_kit.data.alignment.detection import Detection
from mfr_kit.data.face_set.content import digest_of
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.face_set.faceset_writer import write_rows
from mfr_kit.data.images import encode
from mfr_kit.data.photographs.photos import list_photos
from mfr_kit.evaluation.inputs.faces import from_set
from mfr_kit.evaluation.protocols import mask_nonmask, nonmask_nonmask
from mfr_kit.seeding import rng_for
from tests.conftest import head

# a corner pixel of this colour hides the bare face from the detector, MUTE the masked one
BLIND = (255, 0, 255)
MUTE = (0, 255, 255)


class Moody:
    """Finds the one face of a picture, unless the colour of a corner or the blue lower half
    forbids it.
    """

    def detect(self, image: np.ndarray) -> list[Detection]:
        corner, masked = tuple(image[0, 0].tolist()), tuple(image[-1, -1].tolist()) == (0, 0, 255)
        unseen = (corner == BLIND and not masked) or (corner == MUTE and masked)
        return (
            []
            if unseen
            else [
                Detection(np.array([0, 0, 112, 112], np.float32), TEMPLATE.astype(np.float32), 0.9)
            ]
        )

    def refine(self, image: np.ndarray, face: Detection) -> Detection:
        return face


def cover(
    image: np.ndarray, points: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, dict]:
    masked = image.copy()
    masked[66:] = (0, 0, 255)
    return masked, np.full(image.shape[:2], 100, np.uint8), {}


@pytest.mark.parametrize(("blind", "mute"), [(0, 0), (2, 0), (0, 3), (2, 3)])
def test_no_photograph_is_counted_twice(tmp_path, blind: int, mute: int) -> None:
    for person, take in itertools.product(range(3), range(4)):
        image = head(person, take)
        number = 4 * person + take
        image[:2, :2] = BLIND if number < blind else MUTE if number < blind + mute else (1, 2, 3)
        (tmp_path / "photos" / f"p{person}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / f"p{person}" / f"{take}.png").write_bytes(encode(image, ".png"))
    maker = FaceMaker(
        tmp_path / "photos", Moody(), None, cover, ratio=1.0, seed=0, on_photo=True, suffix=".png"
    )
    made = [maker.make(photo) for photo in list_photos(tmp_path / "photos")]
    rows = [
        {**row, "digest": digest_of(row.pop("image").tobytes())}
        for faces, _ in made
        for row in faces
    ]
    skipped = [row for _, some in made for row in some]
    assert len(rows) == 24 - 2 * blind - mute and len(skipped) == blind + mute
    keys = {row["key"] for row in rows}
    assert all(row["clean_key"] in keys for row in [*rows, *skipped] if row["clean_key"]), (
        "a twin without its clean face"
    )
    assert all((row["condition"] == "mask") == bool(row["clean_key"]) for row in skipped)
    (tmp_path / "set").mkdir()
    write_rows(tmp_path / "set", [(rows, skipped)], {})
    faceset = FaceSet.open(tmp_path / "set")
    faces = from_set(rng_for(0).standard_normal((len(faceset), 4)).astype(np.float32), faceset)
    assert len(set(faces.photos)) == 12 and nonmask_nonmask.pairs(faces).count.genuine == 3 * 6
    twins = np.unique(faces.people[faces.conditions == "mask"].astype(str), return_counts=True)[1]
    assert twins.sum() == 12 - blind and mask_nonmask.pairs(faces).count.genuine == 3 * (12 - blind)
