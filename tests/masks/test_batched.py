"""Masks drawn for a batch in torch are those that `render` draws one by one."""

import cv2
import numpy as np
import pytest
import torch

from mfr_kit.masks import drawn_heads, library, variation
from mfr_kit.masks.batched import packed, sampling
from mfr_kit.masks.batched.paint import Painter
from mfr_kit.masks.library import Mask
from mfr_kit.masks.plan import plan
from mfr_kit.masks.render import render
from mfr_kit.seeding import rng_for

CPU = torch.device("cpu")
POSES = ((-40, 5, 0), (0, 0, 8), (30, -8, -5))
LIBRARY = library.load(library.names())


@pytest.fixture(scope="module")
def painter():
    return Painter(LIBRARY, CPU)


def both(painter, faces: list[tuple], masks: list[Mask]) -> tuple[np.ndarray, np.ndarray]:
    """(B, H, W, 3) as `render` draws them, and as the painter does."""
    wanted, plans = [], []
    for row, ((face, landmarks), mask) in enumerate(zip(faces, masks, strict=True)):
        wanted.append(render(face, landmarks, mask, rng_for(8, row))[0])
        planned = plan(face, landmarks, mask, rng_for(8, row))
        if planned is not None:
            assert packed.can_pack(planned)
            plans.append((row, planned))
    given = sampling.pack(torch.from_numpy(np.stack([face for face, _ in faces])))
    before, plans = given.clone(), packed.pack(plans, LIBRARY)
    drawn = painter.paint(given, plans)
    assert torch.equal(given, before)
    return np.stack(wanted), sampling.unpack(drawn, 3).movedim(1, 3).byte().numpy()


def far_off(wanted: np.ndarray, drawn: np.ndarray) -> float:
    """Share of pixels that are more than 2 grey levels off in any channel."""
    off = np.abs(wanted.astype(int) - drawn).max(axis=3)
    assert off.shape == wanted.shape[:3]
    return float((off > 2).mean())


def drawn_mask(name: str, index: int, **changes) -> Mask:
    look = LIBRARY.looks[name]
    values = variation.draw(look, LIBRARY.mix, rng_for(5, index))
    return Mask(look, values | changes)


def photographed(face: np.ndarray, how: str, index: int) -> np.ndarray:
    noise = np.random.default_rng(index).normal(0, 7, face.shape)
    if how == "grainy":
        return np.clip(face + noise, 0, 255).astype(np.uint8)
    if how == "blurred":
        return cv2.GaussianBlur(face, (0, 0), 1.5)
    if how == "grey":
        return cv2.cvtColor(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return face


@pytest.mark.parametrize("how", ["clean", "grainy", "blurred", "grey"])
def test_every_look_is_the_same_in_every_pose(painter, how):
    faces, masks = [], []
    for index, name in enumerate(LIBRARY.looks):
        for pose in POSES:
            face, landmarks = drawn_heads.draw(112, *pose, person=index)
            faces.append((photographed(face, how, index), landmarks))
            masks.append(drawn_mask(name, len(masks)))
    wanted, drawn = both(painter, faces, masks)
    assert far_off(wanted, drawn) <= 1e-4
    changed = (drawn != np.stack([face for face, _ in faces])).any(axis=3).mean(axis=(1, 2))
    assert changed.min() > 0.04  # a mask on every face


def test_stains_shadows_tints_and_styles_are_the_same(painter):
    face, landmarks = drawn_heads.draw(112, 10, 0, 0, person=2)
    changes = [
        {"dirt": 0.3, "crumple": 0.08},
        {"shadow": 0.55, "softness": 0.9},
        {"base": [-1, -1, -1], "print": [20, 200, 40]},
        {"tone": [0.3, 1.4, 0.8]},
        {"tilt_deg": 18.0, "shift": 12.0},
        {"top": 99.0, "bottom": 142.0},
        {"relief": 1.6, "width": 0.92},
    ]
    masks = [
        drawn_mask(name, index, **change)
        for index, change in enumerate(changes)
        for name in ("surgical-blue", "cloth-checks", "hand-over-mouth")
    ]
    wanted, drawn = both(painter, [(face, landmarks)] * len(masks), masks)
    assert far_off(wanted, drawn) <= 1e-4


def test_masks_beyond_the_edge_and_large_heads_are_the_same(painter):
    face, landmarks = drawn_heads.draw(112, 0, 0, 0, person=3)
    centre = landmarks.mean(axis=0)
    moved = [landmarks + np.array(by) for by in ((45, 0), (-50, 30), (0, 28), (0, 900))]
    moved += [centre + factor * (landmarks - centre) for factor in (2.2, 0.45)]
    masks = [drawn_mask("surgical-blue", index) for index in range(len(moved))]
    wanted, drawn = both(painter, [(face, points) for points in moved], masks)
    assert far_off(wanted, drawn) <= 1e-4
    np.testing.assert_array_equal(drawn[3], face)


def test_a_mask_of_a_few_pixels_is_left_to_the_cpu():
    face, landmarks = drawn_heads.draw(112, 0, 0, 0, person=3)
    small = plan(face, 60 + 0.1 * (landmarks - 60), drawn_mask("surgical-blue", 0), rng_for(1))
    assert small is not None and not packed.can_pack(small)
    assert packed.pack([], LIBRARY) is None


def test_a_look_drawn_with_noise_has_its_own_noise(painter):
    face, landmarks = drawn_heads.draw(112, 0, 0, 0, person=1)
    names = ["surgical-blue", "noise-fill", "cloth-black", "noise-fill"]
    wanted, drawn = both(
        painter, [(face, landmarks)] * 4, [drawn_mask(name, i) for i, name in enumerate(names)]
    )
    assert far_off(wanted, drawn) == 0
    assert np.abs(drawn[1].astype(int) - drawn[3]).max() > 30


@pytest.mark.parametrize("turn", [0.0, 0.2, -3.0])
def test_a_warp_is_opencvs_beyond_the_border_too(turn):
    picture = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    matrices = [
        np.array(
            [[s * np.cos(turn), -s * np.sin(turn), x], [s * np.sin(turn), s * np.cos(turn), y]]
        )
        for s, x, y in ((1.0, 0.3, -7.9), (0.2, 60, 40), (1.7, -300, 55.5))
    ]
    wanted = [
        cv2.warpAffine(
            picture, matrix, (112, 112), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        for matrix in matrices
    ]
    inverses = torch.from_numpy(np.stack([cv2.invertAffineTransform(one) for one in matrices]))
    given = sampling.pack(torch.from_numpy(np.stack([picture] * 3)))
    drawn = sampling.warp(given, inverses).movedim(1, 3).byte().numpy()
    off = np.abs(drawn.astype(int) - np.stack(wanted)).max(axis=3)
    assert (off > 1).mean() < 1e-4


def test_where_opencv_places_samples_exactly_so_does_a_warp(monkeypatch):
    """OpenCV 5, against bilinear interpolation written out."""
    monkeypatch.setattr(sampling, "SNAPS", False)
    picture = np.random.default_rng(1).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    matrix = np.array([[0.9, 0.11, 1.37], [-0.2, 1.1, 0.613]])
    drawn = sampling.warp(
        sampling.pack(torch.from_numpy(picture[None])), torch.from_numpy(matrix[None])
    )
    for row, column in np.ndindex(9, 12):
        x, y = matrix @ (column, row, 1)
        left, upper = int(np.floor(x)), int(np.floor(y))
        value = 0.0
        for i, j in np.ndindex(2, 2):
            share = (1 - abs(x - left - j)) * (1 - abs(y - upper - i))
            at = [
                min(abs(k), 2 * (size - 1) - abs(k)) for k, size in ((upper + i, 9), (left + j, 12))
            ]
            value = value + share * picture[at[0], at[1]].astype(float)
        assert np.abs(drawn[0, :, row, column].numpy() - value).max() < 0.51
