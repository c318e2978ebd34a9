"""The photo's grade: blur, grain and JPEG blocks are recognised, and the mask takes them on."""

import cv2
import numpy as np
import pytest

from mfr_kit.data.alignment.align import TEMPLATE
from mfr_kit.masks import drawn_heads, grade, library
from mfr_kit.masks.render import render
from mfr_kit.seeding import rng_for

RNG = np.random.default_rng(0)
SCENE = (
    cv2.GaussianBlur(RNG.uniform(0, 255, (160, 160, 3)).astype(np.float32), (0, 0), 0.6)
    .clip(0, 255)
    .astype(np.uint8)
)


def smooth(size: int = 96) -> np.ndarray:
    return cv2.GaussianBlur(
        cv2.resize(RNG.uniform(90, 190, (12, 12, 3)).astype(np.float32), (size, size)), (0, 0), 3
    ).astype(np.uint8)


def test_more_blur_is_measured_as_more_blur():
    measured = [
        grade.measure(cv2.GaussianBlur(SCENE, (0, 0), sigma)).blur for sigma in (0.3, 0.8, 1.3, 2.0)
    ]
    assert measured == sorted(measured) and measured[-1] > measured[0] + 0.6


@pytest.mark.parametrize("sigma", [4.0, 8.0, 12.0])
def test_grain_is_measured(sigma):
    noisy = np.clip(smooth() + RNG.normal(0, sigma, (96, 96, 1)), 0, 255).astype(np.uint8)
    assert abs(grade.measure(noisy).grain / sigma - 1) < 0.3
    assert grade.measure(smooth()).grain < 1.0


def test_masks_on_noisy_photos_are_noisy_and_on_blurred_ones_blurred():
    mask = library.load(["cloth-checks"]).draw(rng_for(2))
    face = SCENE[:112, :112].copy()

    def inside(image: np.ndarray) -> float:
        masked, coverage = render(image, TEMPLATE, mask, rng_for(0))
        core = cv2.erode(coverage, np.ones((5, 5), np.uint8)) == 255
        return float(np.abs(cv2.Laplacian(masked[..., 1], cv2.CV_32F))[core].mean())

    calm = smooth(112)
    noisy = np.clip(calm + RNG.normal(0, 12, (112, 112, 1)), 0, 255).astype(np.uint8)
    assert inside(noisy) > inside(calm) + 10
    assert inside(cv2.GaussianBlur(face, (0, 0), 2.0)) < 0.7 * inside(face)


def test_jpeg_blocks_are_seen_and_passed_on():
    face, landmarks = drawn_heads.draw(240, person=3)
    rough = cv2.imdecode(
        cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 20])[1], cv2.IMREAD_COLOR
    )
    low = grade.jpeg_quality(np.ascontiguousarray(rough[50:190, 60:180]), 60, 50)
    assert low is not None and low < 50
    assert grade.jpeg_quality(np.zeros((40, 40, 3), np.uint8), 0, 0) is None
    mask = library.load(["cloth-floral"]).draw(rng_for(4))
    before = rough.copy()
    masked, coverage = render(rough, landmarks, mask, rng_for(0))
    assert np.array_equal(rough, before)
    assert np.array_equal(masked[:60], rough[:60]) and coverage.any()
    quality = grade.jpeg_quality(np.ascontiguousarray(masked[100:180, 70:170]), 70, 100)
    assert quality is not None and quality < 75


def test_aligned_crops_are_never_recompressed(monkeypatch):
    monkeypatch.setattr(
        grade, "recompress", lambda *_: pytest.fail("a crop has no grid of its own")
    )
    render(SCENE[:112, :112].copy(), TEMPLATE, library.load(["kn95"]).draw(rng_for(0)), rng_for(0))


@pytest.mark.parametrize("sigma", [1.5, 2.0, 3.0])
def test_masks_on_very_blurred_faces_are_as_blurred(sigma):
    """Beyond a pixel or so only rounding is left of the finest detail: measured there, such
    photos passed for sharp ones.
    """
    mask = library.load(["surgical-blue"]).draw(rng_for(2))
    mask.parameters.update(softness=0.0, dirt=0.0)
    measured, drawn, wanted = [], 0.0, 0.0
    for person in range(6):
        face, landmarks = drawn_heads.draw(112, person=person)
        blurred = cv2.GaussianBlur(face, (0, 0), sigma)
        measured.append(grade.measure(blurred[50:, 16:96]).blur)
        masked, coverage = render(blurred, landmarks, mask, rng_for(0))
        core = cv2.erode(coverage, np.ones((5, 5), np.uint8)) == 255
        drawn += steepness(masked)[core].mean()
        wanted += steepness(
            cv2.GaussianBlur(render(face, landmarks, mask, rng_for(0))[0], (0, 0), sigma)
        )[core].mean()
    assert 0.7 * sigma < np.median(measured) < 1.3 * sigma
    assert drawn < 1.8 * wanted


def steepness(image: np.ndarray) -> np.ndarray:
    green = image[..., 1].astype(np.float32)
    return np.hypot(cv2.Sobel(green, cv2.CV_32F, 1, 0), cv2.Sobel(green, cv2.CV_32F, 0, 1))
