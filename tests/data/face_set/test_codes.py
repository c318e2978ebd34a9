import numpy as np
import pytest

from mfr_kit.data.face_set import codes


@pytest.mark.parametrize("part", [1, 3, 64])
def test_parts_give_what_numpy_gives_of_the_whole(monkeypatch, part):
    monkeypatch.setattr(codes, "SLICE", part)
    rng = np.random.default_rng(0)
    for length in (0, 1, 7, 50):
        numbers = rng.integers(0, 5, length).astype(np.int32)
        assert codes.count(numbers, 6).tolist() == np.bincount(numbers, minlength=6).tolist()
        found = codes.find(numbers == 2)
        assert found.tolist() == np.flatnonzero(numbers == 2).tolist()
        assert found.dtype == np.int32
        for row in (numbers, np.sort(numbers)):
            assert codes.is_sorted(row) == bool((np.diff(row) >= 0).all())
