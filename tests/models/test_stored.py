import numpy as np

from mfr_kit.models.stored import StoredArray


def test_an_array_is_read_back_until_what_it_depends_on_changes(tmp_path, capsys):
    stored = StoredArray(tmp_path / "cache" / "a.npy", {"model": "x", "rows": 2})
    assert stored.read() is None
    values = np.arange(6, dtype=np.int32).reshape(2, 3)
    stored.write(values)
    np.testing.assert_array_equal(stored.read(), values)
    assert not capsys.readouterr().err
    assert StoredArray(stored.path, {"model": "y", "rows": 2}).read() is None
    assert "made again" in capsys.readouterr().err


def test_the_same_bytes_in_another_shape_or_type_are_not_believed(tmp_path):
    stored = StoredArray(tmp_path / "a.npy", {})
    values = np.arange(6, dtype=np.int32).reshape(2, 3)
    stored.write(values)
    for other in (values.reshape(3, 2), values.view(np.float32), np.asfortranarray(values.T).T):
        np.save(stored.path, other)
        same = other.shape == values.shape and other.dtype == values.dtype
        assert (stored.read() is not None) == same
