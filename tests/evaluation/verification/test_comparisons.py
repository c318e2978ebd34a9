"""Which comparisons there are: unordered, never a face with itself, never a twin with its own
photograph, everybody an impostor.
"""

import numpy as np
import pytest

from mfr_kit.errors import KitError
from mfr_kit.evaluation.compare import evaluate_set, possible
from mfr_kit.evaluation.inputs.faces import from_set, unit
from mfr_kit.evaluation.protocols import mask_mask, mask_nonmask, nonmask_nonmask
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.rates import Plan
from mfr_kit.seeding import rng_for
from tests.conftest import write_faceset


@pytest.fixture
def twins(tmp_path):
    """Six people with four photographs each, and a masked twin of every one."""
    return write_faceset(tmp_path / "set")


def random(faceset, seed: int = 0) -> np.ndarray:
    return rng_for(seed).standard_normal((len(faceset), 16)).astype(np.float32)


def test_a_twin_never_meets_its_own_photograph(twins) -> None:
    faces = from_set(random(twins), twins)
    clean, mixed, masked = (
        protocol.pairs(faces).count for protocol in (nonmask_nonmask, mask_nonmask, mask_mask)
    )
    assert (clean.genuine, clean.impostor) == (6 * 6, 24 * 23 // 2 - 36)
    assert (mixed.genuine, mixed.impostor) == (6 * 4 * 3, 24 * 20)
    assert (masked.genuine, masked.impostor) == (clean.genuine, clean.impostor)


def test_two_twins_of_one_photograph_never_meet(twins) -> None:
    faces = from_set(random(twins), twins)
    doubled = faces.select(
        np.concatenate([np.arange(len(faces)), np.flatnonzero(faces.conditions == "mask")])
    )
    count = mask_mask.pairs(doubled).count
    assert count.genuine == 6 * (8 * 7 // 2 - 4) and count.impostor == (48 * 47 // 2) - 6 * (
        8 * 7 // 2
    )


def test_really_masked_photographs_meet_every_bare_one_of_the_same_person(tmp_path) -> None:
    faceset = write_faceset(tmp_path / "set")
    rows = [{**row, "clean_key": ""} for row in faceset.table.to_pylist()]
    faceset.table = faceset.table.from_pylist(rows, faceset.table.schema)
    assert mask_nonmask.pairs(from_set(random(faceset), faceset)).count.genuine == 6 * 4 * 4


def test_a_lost_twin_costs_its_person_genuine_comparisons(twins) -> None:
    whole = from_set(random(twins), twins)
    row = int(np.flatnonzero(twins.conditions == "mask")[0])
    lost = {
        name: str(getattr(twins, plural)[row])
        for name, plural in (
            ("source", "sources"),
            ("identity", "identities"),
            ("condition", "conditions"),
        )
    }
    lost |= {"clean_key": str(twins.clean_keys[row]), "reason": "no_face", "detail": ""}
    fewer = twins.select(np.arange(len(twins)) != row)
    fewer.skipped = [lost, {**lost, "reason": "unreadable"}]
    faces = from_set(random(fewer), fewer)
    count = mask_nonmask.pairs(faces).count
    assert (count.genuine, count.impostor) == (
        mask_nonmask.pairs(whole).count.genuine,
        mask_nonmask.pairs(whole).count.impostor,
    )
    assert count.genuine - count.genuine_found == 3 and count.impostor - count.impostor_found == 20


def test_people_with_one_photograph_are_impostors(tmp_path) -> None:
    faceset = write_faceset(tmp_path / "set", people=4, takes=2, twins=False)
    fewer = faceset.select([0, 1, 2, 4, 6])
    assert Pairs(from_set(random(fewer), fewer)).count.impostor == 9
    assert possible(from_set(random(fewer), fewer), Plan()) == ["nonmask-nonmask"]
    with pytest.raises(KitError, match="nothing to compare"):
        possible(from_set(random(fewer)[1:], fewer.select([1, 2, 3, 4])), Plan())


def test_every_protocol_runs_from_a_training_loop(twins) -> None:
    result = evaluate_set(random(twins), twins, fars=[0.5])
    assert list(result) == ["nonmask-nonmask", "mask-nonmask", "mask-mask", "fixed-threshold"]
    assert 0 <= result["mask-nonmask"]["tar_at_far"][0]["tar"] <= 1
    with pytest.raises(KitError, match="mask-nonmask"):
        evaluate_set(random(twins), twins, protocols=["mask-nonmsk"])


def test_embeddings_without_a_direction_are_refused_by_name(twins) -> None:
    bad = random(twins)
    bad[3] = np.nan
    with pytest.raises(KitError, match=f"{twins.keys[3]} is not finite"):
        from_set(bad, twins)
    bad[3] = 0
    with pytest.raises(KitError, match="all zeros"):
        from_set(bad, twins)
    with pytest.raises(KitError, match="embed this very set"):
        from_set(random(twins)[1:], twins)
    assert np.allclose(np.linalg.norm(unit(random(twins) * 1e18, twins.keys), axis=1), 1)


@pytest.mark.parametrize("twin_found", [True, False])
def test_a_twin_whose_clean_face_was_lost_is_still_the_same_picture(
    twins, twin_found: bool
) -> None:
    """The lost clean face has no key, so its photograph is named by its source; the twin must
    not become a genuine pair with it.
    """
    whole = from_set(random(twins), twins)
    twin = int(np.flatnonzero(twins.conditions == "mask")[5])
    clean = int(np.flatnonzero(twins.keys == twins.clean_keys[twin])[0])
    gone = [clean] if twin_found else [clean, twin]
    fewer = twins.select(~np.isin(np.arange(len(twins)), gone))
    rows = [
        {
            name: twins.table[name][row].as_py()
            for name in ("source", "identity", "condition", "clean_key")
        }
        for row in gone
    ]
    fewer.skipped = [{**row, "reason": "no_face", "detail": ""} for row in rows]
    faces = from_set(random(fewer), fewer)
    for protocol in (nonmask_nonmask, mask_nonmask, mask_mask):
        before, after = protocol.pairs(whole).count, protocol.pairs(faces).count
        assert (after.genuine, after.impostor) == (before.genuine, before.impostor)
    assert len(set(faces.photos)) == len(set(whole.photos)) == 24
