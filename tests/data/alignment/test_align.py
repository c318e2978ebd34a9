import numpy as np
import pytest

from mfr_kit.data.alignment.align import SIZE, TEMPLATE, estimate_similarity, transform_points, warp


def test_the_template_is_the_published_112_one():
    # The 96x112 template (x smaller by 8) shifts everything.
    from insightface.utils.face_align import arcface_dst

    np.testing.assert_array_equal(TEMPLATE, arcface_dst)


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_insightface_to_a_hundredth_of_a_pixel(seed):
    from insightface.utils.face_align import estimate_norm

    rng = np.random.default_rng(seed)
    angle, scale = rng.uniform(-1.2, 1.2), rng.uniform(0.3, 6)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = ((TEMPLATE + rng.normal(0, 4, (5, 2))) @ turn.T + rng.uniform(-50, 500, 2)).astype(
        np.float32
    )
    ours = transform_points(landmarks, estimate_similarity(landmarks))
    theirs = transform_points(landmarks, np.asarray(estimate_norm(landmarks)))
    np.testing.assert_allclose(ours, theirs, atol=0.01)


def test_aligned_landmarks_stay_where_they_are():
    matrix = estimate_similarity(TEMPLATE)
    np.testing.assert_allclose(matrix, [[1, 0, 0], [0, 1, 0]], atol=1e-5)
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    np.testing.assert_array_equal(warp(image, matrix), image)


def test_warp_brings_a_point_where_transform_points_says():
    image = np.zeros((300, 300, 3), np.uint8)
    image[150:153, 100:103] = (255, 0, 0)
    landmarks = TEMPLATE * 2 + 20
    matrix = estimate_similarity(landmarks)
    x, y = transform_points(np.array([[101.0, 151.0]]), matrix)[0]
    red = warp(image, matrix)[..., 0]
    row, column = np.unravel_index(red.argmax(), red.shape)
    assert abs(column - x) <= 1
    assert abs(row - y) <= 1
