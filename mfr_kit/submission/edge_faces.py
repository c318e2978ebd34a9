"""Whose faces calibrate an edge file, and on whose its cost is measured: never the same people."""

from pathlib import Path

import numpy as np

from mfr_kit import assets
from mfr_kit.data import images
from mfr_kit.data.alignment import align, detect
from mfr_kit.data.alignment.detection import pick_face
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.lists import quoted
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.overlap import find_overlap
from mfr_kit.submission.sources import open_source

CALIBRATED, MEASURED = 128, 4096  # faces at most
TAKES = (1, 8)  # photographs of each ORL person, where no faces are given


def calibrating_people(given: Path, measured: FaceSet) -> FaceSet:
    """Open the face set that calibrates, without the people that are measured.

    Raises:
        KitError: no face set (a list of images names nobody to keep apart), or nobody is left.
    """
    if not given.is_dir():
        raise KitError(
            f"--calibrate {given}: a list of images does not say whom it shows, so that nobody can "
            "be kept apart from --val: give a face set"
        )
    open_source(given)  # refuses what is no face set, or an empty one
    whole = FaceSet.open(given)
    shared = sorted(set(whole.people) & set(measured.people))
    others = sorted(set(whole.people) - set(measured.people))
    if not others:
        some = ", ".join(quoted(name) for name in shared[:3])
        raise KitError(
            f"--calibrate {given}: all {len(shared):,} people of it are measured ({some}, ...): an "
            "edge file is calibrated on some people and measured on others; name the ones to "
            "measure with --val-people"
        )
    return whole.of_people(others)


def measured_people(val: Path, people: Path | None, run_folder: Path) -> FaceSet:
    """Open the face set that the cost is measured on.

    Raises:
        KitError: no face set, a list that names somebody else, or people that the run, its teacher
            or its initial weights were trained on.
    """
    whole = FaceSet.open(val)
    if people is not None:
        whole = whole.of_people(whole.chosen(people, "--val-people", False).found)
    for row in find_overlap([str(run_folder)], whole.people, allowed=True):
        raise KitError(
            f"--val {val}: {row['text']}: both files' figures would flatter; name other people "
            "with --val-people"
        )
    return whole


def load(faceset: FaceSet, most: int) -> np.ndarray:
    """Load at most so many faces of a set, evenly spread: (B, 112, 112, 3) uint8 RGB."""
    return np.stack([faceset.image(row) for row in spread(len(faceset), most)])


def load_any(given: Path) -> np.ndarray:
    """Load faces that calibrate from a face set or a list of aligned images."""
    source = open_source(given)
    return np.stack([source.load(row) for row in spread(len(source.names), CALIBRATED)])


def orl_half(half: int) -> np.ndarray:
    """Align the ORL faces of every second person, from the first (0) or the second (1)."""
    return orl(sorted(assets.path("orl-faces").iterdir())[half::2])


def halves(given: Path | None) -> tuple[np.ndarray, np.ndarray, FaceSet | None]:
    """Faces to calibrate on, faces to measure on, (B, 112, 112, 3) uint8 RGB each, and the face
    set of the latter where there is one.
    """
    if given is None:
        return orl_half(0), orl_half(1), None
    if given.is_dir():
        open_source(given)  # refuses what is no face set, or an empty one
        whole = FaceSet.open(given)
        if len(whole.people) < 2:
            raise KitError(
                f"{given} shows one person: an edge file is calibrated on some people and "
                "measured on others"
            )
        calibrated, others = (whole.of_people(whole.people[half::2]) for half in (0, 1))
        others = others.select(np.arange(min(len(others), MEASURED)))
        chosen = spread(len(calibrated), CALIBRATED)
        return (
            np.stack([calibrated.image(row) for row in chosen]),
            np.stack([others.image(i) for i in range(len(others))]),
            others,
        )
    source = open_source(given)
    if len(source.names) < 2:
        raise KitError(
            f"{given} lists one face: an edge file is calibrated on some faces and measured on "
            "others"
        )
    middle = len(source.names) // 2
    calibration = np.stack([source.load(row) for row in spread(middle, CALIBRATED)])
    return calibration, source.read(middle, middle + MEASURED), None


def spread(count: int, most: int) -> np.ndarray:
    """At most `most` of `count` rows, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def orl(people: list[Path]) -> np.ndarray:
    """Aligned ORL faces; a photograph in which none is found is left out."""
    detector, found = detect.load_detector(), []
    for photo in [person / f"{take}.pgm" for person in people for take in TAKES]:
        image = images.read_rgb(photo)
        face = pick_face(detector.detect(image), image.shape[:2])
        if face is not None:
            found.append(align.warp(image, align.estimate_similarity(face.landmarks)))
    return np.stack(found)
