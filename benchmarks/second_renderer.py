"""A second, deliberately different mask renderer, to measure whether what a student learnt from the
kit's masks carries over.

It shares nothing with mfr_kit.masks: no head model, no texture library, no mix. A mask is a polygon
through points placed in the plane relative to the five landmarks, bent by a thin-plate spline
fitted to a few control points, filled with gradients and prints of its own, lit by two brightness
samples of the cheeks, and blended with a feathered edge. Evaluation only: never train with it.

    python benchmarks/second_renderer.py SHEET.png
        a sheet on heads of the kit's own drawing
    python benchmarks/second_renderer.py PHOTOS SET [--people LIST] [--robust] [--tight] [--on crop]
                                                                          a face set with a masked
                                                                          twin of every face

`--tight` cuts the photographs close around the face first and makes them 160x192, as press crops
come (RMFRD): landmarks get worse, and the aligned face ends where the crop ends. `--on crop` draws
on the aligned face: what perfect landmarks would be worth.

The twins of a set know the photograph they were made of, so that no protocol compares them with it.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np

# Border in a frame where the pupils lie at (-1, 0) and (1, 0) and the mouth's middle at (0, 2);
# right half, top to bottom.
BORDERS = (
    (
        (0.0, 0.62),
        (0.45, 0.78),
        (1.1, 0.95),
        (1.75, 0.9),
        (1.8, 1.9),
        (1.45, 2.7),
        (0.7, 3.25),
        (0.0, 3.4),
    ),
    ((0.0, 0.75), (0.6, 0.85), (1.5, 0.8), (1.6, 2.2), (1.2, 2.9), (0.0, 3.05)),
    ((0.0, 0.5), (0.4, 0.75), (0.9, 1.15), (1.45, 1.5), (1.3, 2.3), (0.75, 3.0), (0.0, 3.3)),
)
# pixels across and down; height of the crop over the detector's box
TIGHT_SIZE, TIGHT = (160, 192), (0.9, 1.1)
PALETTE = (
    (214, 228, 236),
    (120, 170, 205),
    (40, 42, 48),
    (150, 190, 165),
    (205, 196, 186),
    (70, 84, 120),
    (168, 74, 78),
    (236, 236, 232),
)


def draw(
    face: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Put a mask on a face.

    Args:
        face: (H, W, 3) uint8 RGB; not written to.
        landmarks: (5, 2) pupils, nose tip, mouth corners in pixels.
        rng: chooses everything.
    Returns:
        A new image, and coverage (H, W) uint8.
    """
    points = np.asarray(landmarks, np.float64)
    border = np.array(BORDERS[rng.integers(len(BORDERS))]) * rng.uniform(0.95, 1.08, 2) + (
        0,
        rng.normal(0, 0.08),
    )
    ring = np.concatenate([border, border[::-1] * (-1, 1)])
    bend = thin_plate(
        np.array([[-1, 0], [1, 0], [0, 1.08], [-0.8, 2], [0.8, 2], [0, 3.4]]), _targets(points)
    )
    outline = bend(_densify(ring))
    shape = face.shape[:2]
    alpha = np.zeros(shape, np.uint8)
    cv2.fillPoly(alpha, [np.rint(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    unit = max(float(np.linalg.norm(points[1] - points[0])), 4.0)
    for side in (-1, 1):
        for corner, ear in (
            ((side * 1.6, 1.0), (side * 2.2, 0.1)),
            ((side * 1.4, 2.5), (side * 2.2, 1.4)),
        ):
            ends = bend(np.array([corner, ear]))
            cv2.line(
                alpha,
                *np.rint(ends).astype(int).tolist(),
                255,
                max(1, round(unit / 28)),
                cv2.LINE_AA,
            )
    colour = _fill(shape, outline, face, points, rng)
    feather = max(0.4, unit / 60)
    weight = cv2.GaussianBlur(alpha, (0, 0), feather).astype(np.float32)[..., None] / 255
    masked = face.astype(np.float32) * (1 - weight) + colour * weight
    return np.clip(np.rint(masked), 0, 255).astype(np.uint8), np.rint(weight[..., 0] * 255).astype(
        np.uint8
    )


def thin_plate(source: np.ndarray, target: np.ndarray, stiffness: float = 0.05):
    """Fit a thin-plate spline from (N, 2) to (N, 2) points; returns the function that applies it
    to (M, 2).
    """

    def kernel(a: np.ndarray) -> np.ndarray:
        squared = ((a[:, None] - source[None]) ** 2).sum(-1)
        return squared * np.log(np.maximum(squared, 1e-9))

    count = len(source)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = kernel(source) + stiffness * np.eye(count)
    system[:count, count:] = np.c_[np.ones(count), source]
    system[count:, :count] = system[:count, count:].T
    weights = np.linalg.solve(system, np.concatenate([target, np.zeros((3, 2))]))
    return lambda a: kernel(a) @ weights[:count] + np.c_[np.ones(len(a)), a] @ weights[count:]


def _targets(points: np.ndarray) -> np.ndarray:
    """Where the control points lie in the image; the chin is guessed from eyes and mouth."""
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    return np.concatenate([points, (mouth + 0.7 * (mouth - eyes))[None]])


def _densify(ring: np.ndarray) -> np.ndarray:
    after = np.roll(ring, -1, axis=0)
    return np.concatenate(
        [ring[:, None] + (after - ring)[:, None] * t for t in np.linspace(0, 1, 6, endpoint=False)],
        axis=1,
    ).reshape(-1, 2)


def _fill(
    shape: tuple[int, int],
    outline: np.ndarray,
    face: np.ndarray,
    points: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Colours of the mask, (H, W, 3) float32: a tint, a print or folds, and a sideways gradient
    between the cheeks' brightness.
    """
    tint = np.array(PALETTE[rng.integers(len(PALETTE))], np.float32) * rng.uniform(0.85, 1.08)
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    low, high = outline.min(axis=0), outline.max(axis=0)
    across, down = (
        (columns - low[0]) / max(high[0] - low[0], 1),
        (rows - low[1]) / max(high[1] - low[1], 1),
    )
    kind, turns = rng.integers(4), rng.uniform(3, 9)
    wave = (
        np.sin(down * turns * 6.28),
        np.sign(np.sin(across * turns * 6.28) * np.sin(down * turns * 6.28)),
        cv2.resize(rng.normal(size=(7, 7)).astype(np.float32), shape[::-1]),
        np.zeros(shape, np.float32),
    )[kind]
    shade = 1 + (0.06, 0.22, 0.08, 0.0)[kind] * wave - 0.25 * (2 * across - 1) ** 2
    eyes = points[:2].mean(axis=0)
    cheeks = [
        0.5 * (points[side] + points[3 + side]) + 0.15 * (points[side] - eyes) for side in (0, 1)
    ]
    left, right = (_brightness(face, cheek) for cheek in cheeks)
    light = np.clip((left + (right - left) * np.clip(across, 0, 1)) / 150, 0.3, 1.15)
    return tint * (shade * light)[..., None]


def _brightness(face: np.ndarray, spot: np.ndarray) -> float:
    x, y = int(np.clip(spot[0], 2, face.shape[1] - 3)), int(np.clip(spot[1], 2, face.shape[0] - 3))
    return float(face[y - 2 : y + 3, x - 2 : x + 3].mean())


def sheet(target: Path) -> None:
    """Draw 24 synthetic heads with masks on."""
    from mfr_kit.data.images import encode
    from mfr_kit.masks import drawn_heads, preview

    tiles = []
    for index in range(24):
        rng = np.random.default_rng(index)
        face, landmarks = drawn_heads.draw(120, *rng.normal(0, (20, 6, 5)), person=index)
        tiles.append(draw(face, landmarks, rng)[0])
    target.write_bytes(encode(preview.grid(tiles, 8), target.suffix))


def crop_tightly(source: Path, target: Path, people: Path | None) -> None:
    """Cut every photograph of the people close around its face, (160, 192) pixels; where no face
    is found it is only resized.
    """
    from mfr_kit.data.alignment.detect import load_detector
    from mfr_kit.data.alignment.detection import pick_face
    from mfr_kit.data.images import encode, read_rgb
    from mfr_kit.data.lists import read_names
    from mfr_kit.data.photographs import photos
    from mfr_kit.seeding import key_of, rng_for

    detector, names = load_detector(), None if people is None else set(read_names(people))
    for photo in photos.list_photos(source, names):
        image, rng = read_rgb(source / photo.source), rng_for(0, key_of(photo.source))
        face = pick_face(detector.detect(image), image.shape[:2])
        if face is not None:
            side = face.box[2:].max() * rng.uniform(*TIGHT)
            middle = face.box[:2] + face.box[2:] / 2 + rng.normal(0, 0.04, 2) * side
            scale = TIGHT_SIZE[1] / side
            shift = np.array(TIGHT_SIZE) / 2 - middle * scale
            matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
            image = cv2.warpAffine(
                image, matrix, TIGHT_SIZE, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        else:
            image = cv2.resize(image, TIGHT_SIZE, interpolation=cv2.INTER_AREA)
        (target / photo.source).parent.mkdir(parents=True, exist_ok=True)
        (target / photo.source).write_bytes(encode(image))


def make_set(source: Path, target: Path, people: Path | None, robust: bool, mask_on: str) -> None:
    """Write a face set of photographs with a twin of every face, masked by this renderer (and,
    on the photograph, detected again).
    """
    from mfr_kit.augment import crew, shards, workplace
    from mfr_kit.augment.job import job_of
    from mfr_kit.augment.options import AugmentOptions

    def put_on(
        image: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, dict]:
        return *draw(image, landmarks, rng), {"look": "second renderer"}

    alignment = "robust" if robust else "plain"
    options = AugmentOptions(
        src=source,
        dst=target,
        people=people,
        ratio=1.0,
        alignment=alignment,
        mask_on=mask_on,
    )
    job = job_of(options)
    workplace.begin(job)
    maker = replace(crew.load_maker(job), put_on=put_on)
    with crew.start_crew(job, workers=0, maker=maker) as own:
        shards.make_shard(job, 0, own)
    counts, _ = workplace.finish(job)
    print(f"{target}: {counts}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path, nargs="?")
    parser.add_argument("--people", type=Path, help="names, one a line: only these")
    parser.add_argument("--robust", action="store_true", help="robust alignment")
    parser.add_argument(
        "--tight", action="store_true", help="cut the photographs close around the face first"
    )
    parser.add_argument(
        "--on",
        choices=["photo", "crop"],
        default="photo",
        help="draw on the photograph, or on the aligned face",
    )
    given = parser.parse_args()
    if given.target is None:
        sheet(given.source)
    elif given.tight:
        with tempfile.TemporaryDirectory() as folder:
            crop_tightly(given.source, Path(folder), given.people)
            make_set(Path(folder), given.target, given.people, given.robust, given.on)
    else:
        make_set(given.source, given.target, given.people, given.robust, given.on)


if __name__ == "__main__":
    main()
