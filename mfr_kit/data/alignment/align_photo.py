"""One photograph to one aligned face: find it, align it, and where something was drawn on the
photograph meanwhile, detect it again and align it again.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from mfr_kit.data.alignment.align import (
    SIZE,
    TEMPLATE,
    as_crop,
    chain,
    estimate_similarity,
    transform_points,
    warp,
)
from mfr_kit.data.alignment.detection import (
    Detection,
    Detector,
    pick_face,
    pick_faces,
    same_face,
)
from mfr_kit.data.alignment.face_choice import PROMINENT, RULES
from mfr_kit.data.alignment.upright import find_upright, turn, turn_matrix
from mfr_kit.data.images import Picture, read_picture
from mfr_kit.errors import KitError


class AlignedFace(NamedTuple):
    """A face in the aligned frame.

    Attributes:
        image: (112, 112, 3) uint8 RGB.
        landmarks: (K, 2) float32 in its pixels, K = 5 or as many as the detector knows.
        matrix: (2, 3) float64, from the pixels of what it was cut from to its own.
        score: detector confidence in [0, 1].
    """

    image: np.ndarray
    landmarks: np.ndarray
    matrix: np.ndarray
    score: float


class View(NamedTuple):
    """A photograph as the detector sees it."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    matrix: np.ndarray  # (2, 3), from the photograph's own pixels to these
    note: str = ""  # what was done to it
    faces: int = 1  # that the detector finds in it


def align_photo(
    photo: str | Path | np.ndarray,
    detector: Detector,
    upright: bool = False,
    rule: str = PROMINENT,
) -> AlignedFace:
    """Find the face that a photograph is about, and align it as `augment` does.

    Args:
        photo: a file of any format OpenCV knows, or (H, W, 3) uint8 RGB.
        detector: finds faces, `detect.load_detector()`.
        upright: turn a photograph that lies on its side or upside down.
        rule: which face of several, see `pick_face`.
    Returns:
        The face; its `matrix` is from the photograph's own pixels.
    Raises:
        KitError: the file is no image that can be read, the array no RGB image of bytes, no face
            is found, or there is no such rule.
    """
    if rule not in RULES:
        raise KitError(f"faces '{rule}': one face is taken, {', '.join(RULES)}")
    picture = _as_picture(photo)
    where = "the photograph" if isinstance(photo, np.ndarray) else str(photo)
    view, faces = find(picture, detector, upright, rule)
    if not faces:
        raise KitError(
            f"no face found in {where} ({picture.width}x{picture.height} pixels): crop it nearer "
            "to the face, or turn it upright"
        )
    aligned = align(view.image, faces[0])
    return aligned._replace(matrix=chain(view.matrix, aligned.matrix))


def find(
    picture: Picture,
    detector: Detector,
    upright: bool = False,
    rule: str = PROMINENT,
    found: list[Detection] | None = None,
) -> tuple[View, list[Detection]]:
    """Show a photograph as it has to be seen, and pick the face it is about, or all.

    Args:
        picture: the photograph.
        detector: finds faces, and improves the landmarks of those that are picked.
        upright: turn a photograph that lies on its side or upside down.
        rule: which face is picked, see `pick_faces`.
        found: what the detector finds in the picture as it is, where that is known.
    """
    turns, found = 0, detector.detect(picture.image) if found is None else found
    if upright:
        turns, found = find_upright(detector, picture.image, found)
    notes = [picture.note, f"turned by {turns * 90} degrees" if turns else ""]
    view = View(
        turn(picture.image, turns),
        chain(picture.matrix, turn_matrix(turns, picture.image.shape[:2])),
        ", ".join(filter(None, notes)),
        len(found),
    )
    picked = pick_faces(found, view.image.shape[:2], rule)
    return view, [detector.refine(view.image, face) for face in picked]


def find_in_crop(picture: Picture, finder: Detector | None) -> tuple[View, Detection]:
    """Take the template's landmarks for those of an aligned face, or find better ones for masks.

    Args:
        picture: of 112x112 or 96x112 pixels.
        finder: looks for the landmarks; None for the template's.
    """
    crop = as_crop(picture.image)
    assert crop is not None  # of another size it would not have been taken for aligned
    image, matrix = crop
    better = None
    if finder is not None:
        found = pick_face(finder.detect(image), (SIZE, SIZE))
        better = None if found is None else finder.refine(image, found).points
    box = np.array([0, 0, SIZE, SIZE], np.float32)
    return View(image, matrix, picture.note), Detection(box, TEMPLATE, 1.0, better)


def align(image: np.ndarray, face: Detection) -> AlignedFace:
    """Bring a detected face into the aligned frame."""
    matrix = estimate_similarity(face.landmarks)
    points = transform_points(face.points, matrix)
    return AlignedFace(warp(image, matrix), points, matrix, face.score)


def take_as_aligned(crop: np.ndarray, face: Detection) -> AlignedFace:
    """Leave a face that is aligned already as it is."""
    return AlignedFace(crop, face.points, np.eye(2, 3), face.score)


def align_again(
    image: np.ndarray,
    face: Detection,
    detector: Detector,
    found: list[Detection] | None = None,
) -> AlignedFace | None:
    """Find a face again in a photograph that was drawn on since, and align it anew.

    Args:
        image: (H, W, 3) uint8 RGB, the same scene as when `face` was found.
        face: what was found before.
        detector: what found it.
        found: what it finds in the image, where that is known.
    Returns:
        The face, or None where the detector does not find it any more.
    """
    again = same_face(detector.detect(image) if found is None else found, face)
    return None if again is None else align(image, detector.refine(image, again))


def _as_picture(photo: str | Path | np.ndarray) -> Picture:
    if isinstance(photo, str | Path):
        return read_picture(Path(photo))
    if not isinstance(photo, np.ndarray):
        raise KitError(
            "a photograph is a path or an (H, W, 3) uint8 RGB array, found "
            f"{type(photo).__name__}: np.asarray may turn it into one"
        )
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise KitError(
            f"a photograph of shape {photo.shape} and type {photo.dtype}: wanted is (H, W, 3) "
            "uint8 RGB"
        )
    return Picture(photo)
