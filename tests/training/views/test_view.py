import cv2
import numpy as np
import pytest

from mfr_kit.data.alignment.align import TEMPLATE
from mfr_kit.masks import library
from mfr_kit.seeding import rng_for
from mfr_kit.training.views import drift
from mfr_kit.training.views.view import ViewRecipe, Views, move


@pytest.fixture(scope="module")
def face():
    return (
        np.random.default_rng(0)
        .integers(0, 256, (14, 14, 3), dtype=np.uint8)
        .repeat(8, 0)
        .repeat(8, 1)
    )


@pytest.fixture(scope="module")
def masks():
    return library.load()


def still(**changes):
    return ViewRecipe(
        **{
            "mask_ratio": 0.0,
            "drift": 0.0,
            "drift_clean": 0.0,
            "photometric": 0.0,
            "mirror": 0.0,
            **changes,
        }
    )


def test_a_sample_is_the_same_whoever_draws_it_and_whatever_came_before(face, masks):
    one, other = Views(ViewRecipe(mask_ratio=0.5), masks), Views(ViewRecipe(mask_ratio=0.5), masks)
    first = [one.draw(face, TEMPLATE, rng_for(3, 1, index)) for index in range(12)]
    for index in reversed(range(12)):
        again = other.draw(face, TEMPLATE, rng_for(3, 1, index))
        np.testing.assert_array_equal(again.image, first[index].image)
        assert (again.mirrored, again.masked) == (first[index].mirrored, first[index].masked)
    assert len({view.image.tobytes() for view in first}) == 12
    assert {view.masked for view in first} == {True, False}


def test_epochs_differ(face, masks):
    views = Views(ViewRecipe(), masks)
    assert not np.array_equal(
        views.draw(face, TEMPLATE, rng_for(0, 0, 5)).image,
        views.draw(face, TEMPLATE, rng_for(0, 1, 5)).image,
    )


def test_the_clean_face_is_never_written_to(face, masks):
    before = face.copy()
    for index in range(6):
        view = Views(ViewRecipe(mask_ratio=0.5), masks).draw(face, TEMPLATE, rng_for(0, 0, index))
        assert not np.shares_memory(view.image, face)
        assert view.image.dtype == np.uint8 and view.image.shape == (112, 112, 3)
    np.testing.assert_array_equal(face, before)


def test_the_mirror_that_is_reported_is_the_mirror_that_was_done(face):
    views = Views(still(mirror=0.5), None)
    seen = set()
    for index in range(8):
        view = views.draw(face, TEMPLATE, rng_for(0, 0, index))
        np.testing.assert_array_equal(view.image, face[:, ::-1] if view.mirrored else face)
        seen.add(view.mirrored)
    assert seen == {True, False}


def test_a_mask_changes_the_lower_face_only(face, masks):
    views = Views(still(mask_ratio=1.0), masks)
    changed = np.mean(
        [
            (views.draw(face, TEMPLATE, rng_for(0, 0, index)).image != face).any(axis=2)
            for index in range(20)
        ],
        axis=0,
    )
    assert changed[75:100, 45:68].mean() > 0.8
    assert changed[:25].mean() < 0.05


def test_shares_are_as_asked(face, masks):
    views = Views(still(mask_ratio=0.35, mirror=0.5), masks)
    drawn = [views.draw(face, TEMPLATE, rng_for(1, 0, index)) for index in range(400)]
    assert abs(np.mean([view.masked for view in drawn]) - 0.35) < 0.08
    assert abs(np.mean([view.mirrored for view in drawn]) - 0.5) < 0.08


def test_mirror_then_drift_is_one_interpolation_of_both(face):
    matrix = drift.from_constants(np.random.default_rng(2), 1.0)
    smooth = cv2.GaussianBlur(face, (0, 0), 4)
    difference = move(smooth, matrix, True).astype(int) - move(
        np.ascontiguousarray(smooth[:, ::-1]), matrix, False
    )
    assert np.abs(difference).max() <= 3
    assert np.abs(move(smooth, matrix, True).astype(int) - move(smooth, matrix, False)).max() > 20


def test_masked_faces_drift_more_than_clean_ones(face, masks):
    clean = Views(still(drift=1.0), masks).draw(face, TEMPLATE, rng_for(0, 0, 0))
    np.testing.assert_array_equal(clean.image, face)  # drift_clean is 0
    masked = Views(still(mask_ratio=1.0, drift=1.0), masks).draw(face, TEMPLATE, rng_for(0, 0, 0))
    assert (masked.image[:25] != face[:25]).mean() > 0.2


def test_masked_faces_draw_from_the_measured_drifts_and_clean_ones_do_not(face, masks):
    right = np.array([[0.0, 0.0, 20.0, 0.0]])  # a table of one drift: 20 px to the right
    plain, moved = (
        Views(still(mask_ratio=1.0, drift=1.0), masks, table)
        .draw(face, TEMPLATE, rng_for(0, 0, 0))
        .image
        for table in (None, right)
    )
    still_there = Views(still(mask_ratio=1.0), masks).draw(face, TEMPLATE, rng_for(0, 0, 0)).image
    np.testing.assert_array_equal(moved[:, 20:], still_there[:, :-20])
    assert not np.array_equal(plain, moved)
    clean = [
        Views(still(drift_clean=1.0), masks, table).draw(face, TEMPLATE, rng_for(0, 0, 0)).image
        for table in (None, right)
    ]
    np.testing.assert_array_equal(*clean)


def test_degraded_views_are_poorer_and_follow_from_the_sample(face):
    views = Views(still(degrade=1.0), None)
    drawn = [views.draw(face, TEMPLATE, rng_for(0, 0, index)).image for index in range(40)]
    assert all(not np.array_equal(image, face) for image in drawn)
    np.testing.assert_array_equal(
        drawn[7], Views(still(degrade=1.0), None).draw(face, TEMPLATE, rng_for(0, 0, 7)).image
    )
    black = [(image.max(axis=2) < 8).mean() for image in drawn]
    assert 0.2 < np.mean([share > 0.05 for share in black]) < 0.8 and max(black) < 0.75
    assert any((image[..., 0] == image[..., 1]).all() for image in drawn)


def test_nothing_is_degraded_unless_asked(face, masks):
    usual, asked = Views(ViewRecipe(), masks), Views(ViewRecipe(degrade=0.0), masks)
    np.testing.assert_array_equal(
        usual.draw(face, TEMPLATE, rng_for(0, 0, 3)).image,
        asked.draw(face, TEMPLATE, rng_for(0, 0, 3)).image,
    )
