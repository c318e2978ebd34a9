import numpy as np
import pytest
import torch

from mfr_kit.errors import KitError
from mfr_kit.seeding import rng_for, uniform
from mfr_kit.training.teacher import bank_place
from mfr_kit.training.teacher.bank import Bank

CPU = torch.device("cpu")


@pytest.fixture
def bank(tmp_path):
    return Bank(tmp_path, rng_for(0).standard_normal((50, 2, 8), np.float32))


@pytest.mark.parametrize("where", bank_place.PLACES)
def test_rows_are_the_same_wherever_they_lie(bank, where, monkeypatch):
    monkeypatch.setattr(bank_place, "CHUNK_ROWS", 7)
    placed = bank.placed(CPU, where)
    assert (placed.resident is None) == (where in ("auto", "disk"))  # auto: a CPU reads the file
    at, mirrored = np.array([3, 49, 0, 3]), np.array([1, 0, 0, 1])
    np.testing.assert_array_equal(placed.lookup(CPU, at, mirrored), bank.rows(at, mirrored))
    np.testing.assert_allclose(placed.lookup_sums(CPU, at), bank.sums(at), atol=1e-6)


def test_a_bank_that_does_not_fit_is_read_from_disk_or_refused(bank, monkeypatch):
    there = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3000, 8000))
    assert bank.embeddings.nbytes == 3200
    assert bank_place.place(bank.embeddings, there, "auto") is None
    with pytest.raises(KitError, match="give --bank-on disk"):
        bank_place.place(bank.embeddings, there, "device")


def test_draws_depend_on_the_sample_alone_and_are_even():
    epochs, indices = np.repeat([0, 1], 500), np.tile(np.arange(500), 2)
    drawn = uniform((4, 1), epochs, indices, 100)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    np.testing.assert_array_equal(drawn[[700]], uniform((4, 1), epochs[[700]], indices[[700]], 100))
    assert len(np.unique(drawn)) == drawn.size
    assert not np.intersect1d(drawn, uniform((5, 1), epochs, indices, 100)).size
    shares = np.histogram(drawn, 20, (0, 1))[0] / drawn.size * 20
    assert np.abs(shares - 1).max() < 0.06  # 4 deviations
    assert np.abs(np.corrcoef(drawn[:, :8], rowvar=False) - np.eye(8)).max() < 0.13
