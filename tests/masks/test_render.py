"""The renderer's contract: new images, coverage that tells the truth, any size, the same result
for the same sample.
"""

import numpy as np
import pytest

from mfr_kit.data.alignment.align import TEMPLATE
from mfr_kit.errors import KitError
from mfr_kit.masks import drawn_heads, library
from mfr_kit.masks.library import Mask
from mfr_kit.masks.render import render
from mfr_kit.seeding import rng_for
from tests.conftest import head


def drawn(name: str, index: int = 0, **changes) -> Mask:
    mask = library.load([name]).draw(rng_for(5, index))
    return Mask(mask.look, mask.parameters | changes)


def test_render_never_touches_its_input_and_returns_a_new_image():
    face, landmarks = head(1), TEMPLATE.copy()
    before, points = face.copy(), landmarks.copy()
    face.setflags(write=False)
    masked, coverage = render(face, landmarks, drawn("surgical-blue"), rng_for(0))
    assert np.array_equal(face, before) and np.array_equal(landmarks, points)
    assert not np.shares_memory(masked, face)
    assert masked.shape == face.shape and masked.dtype == np.uint8
    assert coverage.shape == face.shape[:2] and coverage.dtype == np.uint8 and coverage.max() == 255


def test_images_differ_only_near_the_mask():
    face = head(2)
    masked, coverage = render(face, TEMPLATE, drawn("cloth-black"), rng_for(0))
    changed = (masked != face).any(axis=2)
    columns, rows = np.nonzero(coverage.any(axis=0))[0], np.nonzero(coverage.any(axis=1))[0]
    box = np.zeros_like(changed)
    box[rows[0] - 6 : rows[-1] + 7, max(columns[0] - 6, 0) : columns[-1] + 7] = True
    assert not changed[~box].any()
    assert changed[coverage > 200].mean() > 0.95


def test_every_look_covers_the_mouth_and_leaves_the_eyes():
    face = head(3)
    for name in library.names():
        _, coverage = render(face, TEMPLATE, drawn(name, style="right"), rng_for(0))
        if name not in ("window-cloth",):
            assert coverage[90, 56] > 200, name
        assert coverage[:54].mean() < 12 and coverage[51, 38] == 0 and coverage[51, 74] == 0, name


def test_same_sample_same_bytes_and_another_sample_differs():
    face, lib = head(4), library.load()
    first = render(face, TEMPLATE, lib.draw(rng_for(1, 0, 7)), rng_for(2))
    second = render(face, TEMPLATE, lib.draw(rng_for(1, 0, 7)), rng_for(2))
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert not np.array_equal(
        first[0], render(face, TEMPLATE, lib.draw(rng_for(1, 0, 8)), rng_for(2))[0]
    )


def test_a_black_mask_stays_black_and_a_white_one_bright():
    face = np.full((112, 112, 3), (200, 160, 140), np.uint8)
    quiet = {"shadow": 0.0, "dirt": 0.0, "crumple": 0.0}
    black, covered = render(
        face, TEMPLATE, drawn("upper-half", base=[0, 0, 0], **quiet), rng_for(0)
    )
    assert black[covered == 255].max() <= 12
    white, covered = render(
        face,
        TEMPLATE,
        drawn("surgical-white", base=[250, 250, 250], relief=0.0, **quiet),
        rng_for(0),
    )
    assert white[covered == 255].mean() > 200


def test_mask_follows_the_face_over_size_and_place():
    mask = drawn("surgical-blue", softness=0.0)
    small = drawn_heads.draw(112, yaw_deg=20)
    _, coverage = render(*small, mask, rng_for(0))
    photo, landmarks = np.zeros((600, 800, 3), np.uint8), small[1] * 2 + (400, 250)
    _, moved = render(photo, landmarks, mask, rng_for(0))
    assert moved.shape == (600, 800)
    assert not moved[:250].any() and not moved[:, :400].any()
    ratio = moved.astype(float).sum() / coverage.astype(float).sum()
    assert 3.8 < ratio < 4.2


@pytest.mark.parametrize("shift", [(-90, 0), (80, 0), (0, 90), (0, -120), (400, 400)])
def test_faces_at_or_beyond_the_border_are_clipped(shift):
    face = head(5)
    masked, coverage = render(face, TEMPLATE + np.array(shift), drawn("gaiter-black"), rng_for(0))
    assert masked.shape == face.shape and coverage.shape == face.shape[:2]
    if shift == (400, 400):
        assert np.array_equal(masked, face) and not coverage.any()


def test_turned_heads_get_turned_masks():
    """The far half of the body shrinks as the head turns, and the mask's middle moves with the
    nose.
    """
    shares = []
    for yaw in (-50, -25, 0, 25, 50):
        image, landmarks = drawn_heads.draw(160, yaw)
        _, coverage = render(
            image,
            landmarks,
            drawn("respirator-white", style="right", tilt_deg=0.0, shift=0.0),
            rng_for(0),
        )
        nose = int(landmarks[2, 0])
        band = coverage[int(landmarks[2, 1]) : int(landmarks[3:, 1].mean())]
        shares.append(band[:, :nose].sum() / band.sum())
    assert shares == sorted(shares) and shares[0] < 0.36 and shares[-1] > 0.6
    assert abs(shares[2] - 0.5) < 0.06


def test_grey_photos_get_grey_masks():
    grey = np.repeat(head(6).mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    masked, _ = render(grey, TEMPLATE, drawn("cloth-floral", noise=0), rng_for(0))
    assert np.ptp(masked.astype(int), axis=2).max() <= 1


def test_mask_takes_the_light_of_the_face():
    mask = drawn("surgical-white", base=[235, 235, 235], dirt=0.0, crumple=0.0)
    face = np.full((112, 112, 3), (190, 150, 130), np.uint8)
    bright, coverage = render(face, TEMPLATE, mask, rng_for(0))
    dark, _ = render(face // 3, TEMPLATE, mask, rng_for(0))
    assert dark[coverage > 250].mean() < 0.6 * bright[coverage > 250].mean()
    half = face.copy()
    half[:, :56] //= 3
    shaded, _ = render(half, TEMPLATE, mask, rng_for(0))
    assert shaded[70:90, 35:50].mean() < 0.8 * shaded[70:90, 64:80].mean()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((112, 112), np.uint8),
        np.zeros((112, 112, 4), np.uint8),
        np.zeros((112, 112, 3), np.float32),
    ],
)
def test_other_images_are_refused(image):
    with pytest.raises(KitError, match="uint8 RGB"):
        render(image, TEMPLATE, drawn("surgical-blue"), rng_for(0))
