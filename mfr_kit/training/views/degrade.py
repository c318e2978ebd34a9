"""Make a view as poor as photographs get: cut off, small, compressed, blurred, grey."""

import cv2
import numpy as np

from mfr_kit.data.alignment.align import SIZE

# Probability of each, given that a view is degraded; ranges in pixels of the aligned face.
BORDER, SMALL, JPEG, BLUR, GREY = 0.5, 0.5, 0.5, 0.25, 0.15
SIDES, QUALITIES, SIGMAS, TILT_DEG = (20, 60), (20, 60), (0.5, 2.0), 8.0
# left, right, top, bottom: how much of the crop a photograph's edge may take
CUTS = ((0, 24), (0, 24), (0, 16), (0, 24))


def degrade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Degrade an aligned face; at least one of the steps is taken.

    A tight photograph ends inside the aligned frame: what lies beyond its (tilted) edges is black,
    as `data.align.warp` leaves it. Then the picture is shrunk to 20 to 60 pixels and back, blurred,
    made grey, compressed, in the order of a poor camera.

    Args:
        image: (112, 112, 3) uint8 RGB, not written to.
        rng: the sample's generator.
    Returns:
        A new image like it.
    """
    wanted = rng.random(5) < (BORDER, SMALL, BLUR, GREY, JPEG)
    if not wanted.any():
        wanted[rng.integers(5)] = True
    border, small, blur, grey, jpeg = wanted
    out = _cut(image, rng) if border else image.copy()
    if small:
        side = int(rng.integers(SIDES[0], SIDES[1] + 1))
        ways = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)
        out = cv2.resize(
            cv2.resize(out, (side, side), interpolation=cv2.INTER_AREA),
            (SIZE, SIZE),
            interpolation=ways[rng.integers(2)],
        )
    if blur:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(*SIGMAS))
    if grey:
        out = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if jpeg:
        quality = int(rng.integers(QUALITIES[0], QUALITIES[1] + 1))
        coded = cv2.imencode(
            ".jpg", cv2.cvtColor(out, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )[1]
        decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        assert decoded is not None  # it was encoded here
        out = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    return out


def _cut(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    left, right, top, bottom = (rng.uniform(*ends) for ends in CUTS)
    corners = np.array(
        [[left, top], [SIZE - right, top], [SIZE - right, SIZE - bottom], [left, SIZE - bottom]]
    )
    angle = np.radians(rng.normal(0, TILT_DEG))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    inside = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillConvexPoly(
        inside, np.rint((corners - SIZE / 2) @ turn + SIZE / 2).astype(np.int32), 255
    )
    return cv2.bitwise_and(image, image, mask=inside)
