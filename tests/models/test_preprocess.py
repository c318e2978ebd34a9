import numpy as np
import pytest
import torch

from mfr_kit.errors import KitError
from mfr_kit.models.preprocess import to_input, to_tensor


def faces() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)


def test_a_red_image_is_red_in_plane_zero():
    red = np.zeros((1, 3, 3, 3), np.uint8)
    red[..., 0] = 255
    for planes in (to_tensor(red).numpy(), to_input(red, "minus1_to_1")):
        assert planes.shape == (1, 3, 3, 3)
        assert (planes[0, 0] == 1).all() and (planes[0, 1:] == -1).all()


def test_numpy_and_torch_agree_and_leave_their_input_alone():
    batch = faces()
    before = batch.copy()
    planes = to_tensor(batch)
    assert planes.dtype == torch.float32
    np.testing.assert_array_equal(planes.numpy(), to_input(batch, "minus1_to_1"))
    np.testing.assert_array_equal(to_tensor(torch.from_numpy(batch)).numpy(), planes.numpy())
    np.testing.assert_array_equal(batch, before)
    np.testing.assert_array_equal(to_input(batch, "raw_0_255"), batch.transpose(0, 3, 1, 2))


def test_what_is_not_uint8_rgb_is_refused():
    for wrong in (faces().astype(np.float32), faces()[0], faces()[..., :1]):
        with pytest.raises(KitError, match="uint8 RGB"):
            to_input(wrong, "raw_0_255")
    with pytest.raises(KitError, match="--normalisation"):
        to_input(faces(), "imagnet")
