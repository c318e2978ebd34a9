"""What robust alignment gives and costs; needs MFR_KIT_DATA. No promises, only figures.

    python benchmarks/alignment.py [--photos 2000] [--workers 2] [--people holdout] [--only
    landmarks]

On LFW's validation people (the held-out ones, who are reported on once, where `--people holdout`
says so) a mask is drawn on the photograph and the face detected again: how far the landmarks and
the aligned frame move from the clean photograph's (in aligned pixels), faces lost, time a
photograph, and SFace's TAR. On rmfrd-dev (real masks, tight crops): faces lost and TAR. Both as
`kit.py augment` does it, plain and robust.
"""

import argparse
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np

from mfr_kit.augment.options import AugmentOptions
from mfr_kit.augment.run import augment
from mfr_kit.data.alignment.align import TEMPLATE, estimate_similarity, transform_points
from mfr_kit.data.alignment.detect import load_detector
from mfr_kit.data.alignment.detection import pick_face, same_face
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.images import read_rgb
from mfr_kit.data.lists import read_names
from mfr_kit.data.photographs.photos import list_photos
from mfr_kit.evaluation.compare import evaluate_set
from mfr_kit.evaluation.inputs.embed import embed_set
from mfr_kit.masks import library
from mfr_kit.masks.render import render
from mfr_kit.models.embedders import load_embedder
from mfr_kit.seeding import key_of, rng_for

ALIGNMENTS = ("plain", "robust")


def moved(found: np.ndarray, clean: np.ndarray) -> tuple[float, float]:
    """Mean distance of five landmarks, and of the template laid on the photograph by them, from
    the clean ones, in aligned pixels.
    """
    frame = estimate_similarity(clean)
    points = transform_points(found, frame) - transform_points(clean, frame)
    laid = transform_points(TEMPLATE, cv2.invertAffineTransform(estimate_similarity(found)))
    return tuple(
        float(np.linalg.norm(away, axis=1).mean())
        for away in (points, transform_points(laid, frame) - TEMPLATE)
    )


def landmark_errors(folder: Path, people: set[str], count: int) -> None:
    """Print how far masks move landmarks; the clean ones are the plain detector's for both."""
    cv2.setNumThreads(1)
    detectors = {name: load_detector(robust=name == "robust") for name in ALIGNMENTS}
    masks, errors = library.load(), {name: [] for name in ALIGNMENTS}
    seconds, photos, lost = {name: [] for name in ALIGNMENTS}, 0, dict.fromkeys(ALIGNMENTS, 0)
    for photo in itertools.islice(list_photos(folder, people), count):
        image = read_rgb(folder / photo.source)
        clean = pick_face(detectors["plain"].detect(image), image.shape[:2])
        if clean is None:
            continue
        photos += 1
        rng = rng_for(0, key_of(photo.source))
        masked, _ = render(image, clean.landmarks, masks.draw(rng), rng)
        for name, detector in detectors.items():
            started = time.perf_counter()
            found = same_face(detector.detect(masked), clean)
            found = detector.refine(masked, found) if found is not None else None
            seconds[name].append(time.perf_counter() - started)
            if found is None:
                lost[name] += 1
            else:
                errors[name].append(moved(found.landmarks, clean.landmarks))
    print(f"{photos} photographs of LFW masked and detected again")
    print("  alignment  landmarks: median   p90  frame: median   p90  lost  ms a photo")
    for name in ALIGNMENTS:
        middle, high = np.percentile(errors[name], [50, 90], axis=0)
        told = (
            f"{middle[0]:18.2f} {high[0]:5.2f} {middle[1]:14.2f} {high[1]:5.2f} {lost[name]:5d} "
            f"{1e3 * np.median(seconds[name]):11.1f}"
        )
        print(f"  {name:9} {told}", flush=True)


def rates(
    photos: Path,
    people: Path | None,
    ratio: float,
    protocols: tuple[str, ...],
    fars: tuple[float, ...],
    workers: int,
) -> None:
    """Print SFace's TAR on a folder, for plain and robust alignment."""
    embedder = load_embedder("sface", threads=workers)
    for name in ALIGNMENTS:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "set"
            augment(
                AugmentOptions(
                    src=photos,
                    dst=target,
                    people=people,
                    ratio=ratio,
                    alignment=name,
                    workers=workers,
                )
            )
            faces = FaceSet.open(target)
            results = evaluate_set(
                embed_set(embedder, faces), faces, fars=fars, protocols=list(protocols)
            )
        shown = [
            f"{protocol} {' / '.join(map(percent, result['tar_at_far']))}"
            for protocol, result in results.items()
        ]
        asked = " / ".join(f"{far:g}" for far in fars)
        print(
            f"  {name:9} {len(faces)} faces, {len(faces.skipped)} lost; TAR at FAR {asked}: "
            f"{'  '.join(shown)}",
            flush=True,
        )


def percent(row: dict) -> str:
    return "-" if row["tar"] is None else f"{100 * row['tar']:.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", type=int, default=2000, help="photographs for the landmark errors"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--only", choices=("landmarks", "lfw", "rmfrd"), help="one part instead of all three"
    )
    parser.add_argument(
        "--people", choices=("val", "holdout"), default="val", help="whose photographs of LFW"
    )
    options = parser.parse_args()
    data = os.environ.get("MFR_KIT_DATA")
    if not data or not Path(data).is_dir():
        print("skipped: MFR_KIT_DATA does not name a folder with lfw/ and rmfrd-dev/")
        return 0
    lfw, people = Path(data) / "lfw" / "images", Path(data) / "lfw" / f"{options.people}.txt"
    if options.only in (None, "landmarks"):
        landmark_errors(lfw, set(read_names(people)), options.photos)
    if options.only in (None, "lfw"):
        print(f"LFW {options.people}, masks drawn before detection:")
        rates(lfw, people, 1.0, ("nonmask-nonmask", "mask-nonmask"), (1e-3, 1e-4), options.workers)
    if options.only in (None, "rmfrd"):
        print("rmfrd-dev, real masks:")
        rates(
            Path(data) / "rmfrd-dev",
            None,
            0.0,
            ("nonmask-nonmask", "mask-nonmask"),
            (1e-2, 1e-3),
            options.workers,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
