"""What torch leaves of a picture is what libjpeg leaves of it."""

import cv2
import numpy as np
import pytest
import torch

from mfr_kit.training.views.jpeg import compress
from tests.conftest import head


@pytest.mark.parametrize("qualities", [(1, 10, 25, 49, 50), (51, 75, 90, 99, 100)])
def test_pictures_are_opencvs_to_the_bit(qualities):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
    grainy = np.clip(head(2) + rng.normal(0, 20, noise.shape), 0, 255).astype(np.uint8)
    pictures = [
        picture for picture in (head(1), noise, grainy, noise // 255 * 255) for _ in qualities
    ]
    asked = list(qualities) * 4
    wanted = []
    for picture, quality in zip(pictures, asked, strict=True):
        code = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        wanted.append(cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1])
    given = torch.from_numpy(np.stack(pictures)).float().movedim(3, 1)
    made = compress(given, torch.tensor(asked, dtype=torch.uint8)[:, None])
    np.testing.assert_array_equal(made.movedim(1, 3).numpy(), np.stack(wanted))


def test_wide_pictures_too():
    picture = np.random.default_rng(1).integers(0, 256, (16, 48, 3), dtype=np.uint8)
    code = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    wanted = cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1]
    given = torch.from_numpy(picture).float().movedim(2, 0)[None]
    made = compress(given, torch.tensor([[60]], dtype=torch.uint8))
    np.testing.assert_array_equal(made[0].movedim(0, 2).numpy(), wanted)
