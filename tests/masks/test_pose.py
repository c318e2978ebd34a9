"""Pose from five points, on heads whose shape is not the model's and whose landmarks are noisy."""

import numpy as np
import pytest

from mfr_kit.data.alignment.align import TEMPLATE
from mfr_kit.errors import KitError
from mfr_kit.masks import head, pose
from mfr_kit.masks.drawn_heads import rotation

SCALE = 0.54  # pixels per mm of a face aligned to 112x112


def project(yaw, pitch, roll, points=head.LANDMARKS, scale=SCALE):
    return pose.Pose(rotation(yaw, pitch, roll), scale, np.array([56.0, 52.0]), 1.0, 1.0), points


@pytest.mark.parametrize("yaw", [-60, -45, -20, 0, 20, 45, 60])
@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (15, -20), (-15, 150)])
def test_exact_landmarks_give_the_exact_pose(yaw, pitch, roll):
    true, points = project(yaw, pitch, roll)
    found = pose.estimate(true.project(points))
    assert abs(found.yaw - true.yaw) < 1.0 and abs(found.pitch - true.pitch) < 2.5
    assert abs((found.roll - true.roll + 180) % 360 - 180) < 1.5
    assert abs(found.scale / SCALE - 1) < 0.04
    assert np.abs(found.project(points) - true.project(points)).max() < 0.6


@pytest.mark.parametrize("yaw", [0, 15, 30, 45])
def test_yaw_on_other_heads_with_noisy_landmarks(yaw):
    """Heads up to 10 % wider, longer and deeper than the model, one pixel of noise: median error
    within 5 degrees.
    """
    rng = np.random.default_rng(yaw)
    errors = []
    for _ in range(300):
        true, points = project(
            yaw * rng.choice([-1, 1]),
            rng.normal(0, 8),
            rng.normal(0, 10),
            head.LANDMARKS * rng.uniform(0.9, 1.1, 3),
        )
        errors.append(
            abs(pose.estimate(true.project(points) + rng.normal(0, 1, (5, 2))).yaw - true.yaw)
        )
    assert np.median(errors) < 5.0
    assert np.percentile(errors, 95) < 12.0


def test_fit_not_fixed_a_wide_face_gets_a_wide_mask():
    wide, narrow = (
        pose.estimate(project(0, 0, 0)[0].project(head.LANDMARKS * (factor, 1, 1)))
        for factor in (1.12, 0.9)
    )
    assert wide.width * wide.scale / (narrow.width * narrow.scale) > 1.12
    assert abs(wide.length * wide.scale / (narrow.length * narrow.scale) - 1) < 0.08


def test_mirrored_points_are_read_as_a_mirrored_face():
    points = project(25, 5, 10)[0].project(head.LANDMARKS)
    flipped = points * (-1, 1) + (111, 0)
    assert abs(pose.estimate(flipped).yaw + pose.estimate(points).yaw) < 0.5
    assert abs(pose.estimate(flipped).roll + pose.estimate(points).roll) < 0.5


def test_the_aligned_template_is_a_face_seen_from_the_front():
    found = pose.estimate(TEMPLATE)
    assert abs(found.yaw) < 3 and abs(found.pitch) < 12 and abs(found.roll) < 2


def test_68_points_follow_the_jaw():
    """The iBUG order: 0..16 the jaw from ear to ear, 30 the nose tip, 36..47 the eyes, 48 and 54
    the mouth corners.
    """

    def points(jaw):
        angle = np.linspace(np.pi, 0, 17)
        contour = np.stack([56 + 38 * jaw * np.cos(angle), 52 + 62 * np.sin(angle)], axis=1)
        contour[:3, 0], contour[-3:, 0] = 18, 94
        full = np.zeros((68, 2))
        full[:17], full[30], full[48], full[54] = contour, TEMPLATE[2], TEMPLATE[3], TEMPLATE[4]
        full[36:42], full[42:48] = TEMPLATE[0], TEMPLATE[1]
        return full

    narrow, broad = pose.estimate(points(0.85)), pose.estimate(points(1.15))
    assert broad.jaw > narrow.jaw * 1.05
    assert pose.estimate(TEMPLATE).jaw == 1.0


@pytest.mark.parametrize("bad", [np.zeros((4, 2)), np.full((5, 2), np.nan), np.full((5, 2), 7.0)])
def test_unusable_landmarks_are_refused(bad):
    with pytest.raises(KitError, match="landmarks"):
        pose.estimate(bad)
