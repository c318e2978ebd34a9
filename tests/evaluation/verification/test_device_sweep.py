import numpy as np
import pytest
import torch

from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.verification import device_sweep, scores
from mfr_kit.evaluation.verification.comparisons import SKIP, Pairs
from mfr_kit.evaluation.verification.rates import at_far, equal_error
from mfr_kit.evaluation.verification.score_bins import COARSE

SIZE = 256  # rows of +-1/16 are unit rows, and their products are exact in whatever order


def faces(count: int, seed: int, per_person: int = 4) -> Faces:
    """Made-up faces whose cosines are multiples of 1/128."""
    rng = np.random.default_rng(seed)
    people = np.arange(count) // per_person
    own = rng.choice([-1.0, 1.0], (people[-1] + 1, SIZE))[people]
    rows = own * np.where(rng.random((count, SIZE)) < 0.25, -1.0, 1.0) / 16
    names = np.array([f"p{number:04}" for number in people], object)
    # every fourth face is a twin of the photograph before it
    photos = np.array([f"f{number - (number % 4 == 3):04}" for number in range(count)], object)
    empty, found = np.full(count, "", object), rng.random(count) < 0.97
    return Faces(rows.astype(np.float32), names, photos, empty, found, photos, empty, photos)


@pytest.mark.parametrize("both", [False, True])
def test_counts_on_a_device_are_the_cpus_pair_for_pair(monkeypatch, both):
    monkeypatch.setattr(device_sweep, "SIDE_ON_CPU", 100)  # blocks on and beside the diagonal
    monkeypatch.setattr(scores, "WHOLE", 1000)  # bands are guessed, as in a large set
    gallery = faces(270, 1) if both else None
    given = faces(350, 0)
    fars = (1e-2, 1e-3)
    ours, wanted = (
        scores.score(Pairs(given, gallery, device), fars) for device in (torch.device("cpu"), None)
    )
    assert [at_far(ours, far) for far in fars] == [at_far(wanted, far) for far in fars]
    # of equal thresholds between two scores each takes the edge of its own bins
    assert equal_error(ours)[0] == equal_error(wanted)[0]
    every = np.concatenate([block.impostors.ravel() for block in wanted.pairs.blocks()])
    impostors = np.sort(every[every > SKIP])
    from_edge = len(impostors) - np.searchsorted(impostors, COARSE.edges()[1:])
    np.testing.assert_array_equal(ours.above[1:], from_edge)
    np.testing.assert_array_equal(ours.genuine, wanted.genuine)
    assert sorted(ours.genuine_rows) == sorted(wanted.genuine_rows)
    assert ours.bins == COARSE
    assert ours.above[1] > 10_000
    assert len(ours.genuine) > 300 * (not both)
