"""MaskAugment inside albumentations 2.0.8."""

import albumentations
import numpy as np
import pytest
import torch

from mfr_kit.data.alignment.align import TEMPLATE
from mfr_kit.errors import KitError
from mfr_kit.masks.transform import MaskAugment
from tests.conftest import head

KEYPOINTS = albumentations.KeypointParams("xy", remove_invisible=False)


def compose(*transforms, seed=None):
    return albumentations.Compose(list(transforms), keypoint_params=KEYPOINTS, seed=seed)


def sample(index: int = 0, **more):
    return {
        "image": head(index),
        "keypoints": TEMPLATE.copy(),
        "mask": np.zeros((112, 112), np.uint8),
    } | more


def test_image_coverage_and_keypoints_come_back():
    given = sample()
    before = given["image"].copy()
    out = compose(MaskAugment(p=1.0))(**given)
    assert np.array_equal(given["image"], before)
    assert out["mask"].shape == (112, 112) and out["mask"].max() == 255
    assert (out["image"] != before).any(axis=2)[out["mask"] > 250].mean() > 0.9
    assert np.allclose(out["keypoints"], TEMPLATE)


def test_keypoints_follow_an_earlier_flip():
    """The mask lands on the flipped face: coverage of the mirrored image is the mirrored
    coverage's neighbour.
    """
    out = compose(albumentations.HorizontalFlip(p=1.0), MaskAugment(["grey-fill"], p=1.0))(
        **sample(keypoints=TEMPLATE + np.array([12, 0]))
    )
    columns = np.nonzero(out["mask"].any(axis=0))[0]
    assert abs((columns[0] + columns[-1]) / 2 - (111 - 68)) < 5


def test_share_p_is_kept_and_p_0_does_nothing():
    pipeline = compose(MaskAugment(["grey-fill"], p=0.35), seed=1)
    share = np.mean([pipeline(**sample())["mask"].any() for _ in range(300)])
    assert 0.25 < share < 0.45
    assert np.array_equal(compose(MaskAugment(p=0.0))(**sample())["image"], head(0))


def test_same_seed_same_samples_and_samples_differ():
    first, second = (compose(MaskAugment(p=1.0), seed=7) for _ in range(2))
    a = [first(**sample())["image"] for _ in range(3)]
    b = [second(**sample())["image"] for _ in range(3)]
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not np.array_equal(a[0], a[1])


class Faces(torch.utils.data.Dataset):
    def __init__(self):
        self.pipeline = compose(MaskAugment(p=1.0))

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return self.pipeline(**sample(index, mask_seed=(3, 1, index)))["image"]


def test_mask_seed_makes_samples_equal_for_0_and_2_workers():  # albumentations 2473
    batches = [
        np.concatenate(
            [batch.numpy() for batch in torch.utils.data.DataLoader(Faces(), 3, num_workers=n)]
        )
        for n in (0, 2)
    ]
    assert np.array_equal(*batches)
    assert not np.array_equal(batches[0][0], batches[0][1])


def test_serialises_and_comes_back_the_same():
    pipeline = compose(MaskAugment(["kn95"], p=0.5))
    again = albumentations.from_dict(albumentations.to_dict(pipeline))
    assert again.transforms[0].masks == ["kn95"] and again.transforms[0].p == 0.5


def test_aligned_crops_need_no_keypoints_and_photos_do():
    plain = albumentations.Compose([MaskAugment(["grey-fill"], p=1.0)])
    assert plain(image=head(1), mask=np.zeros((112, 112), np.uint8))["mask"].any()
    with pytest.raises(KitError, match="without keypoints"):
        plain(image=np.zeros((200, 200, 3), np.uint8))
    with pytest.raises(KitError, match="landmarks of shape"):
        compose(MaskAugment(p=1.0))(**sample(keypoints=TEMPLATE[:3]))
