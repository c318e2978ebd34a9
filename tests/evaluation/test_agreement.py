"""The share of a model's closest pairs that another keeps, against plain loops."""

import itertools

import numpy as np
import pytest

from mfr_kit.errors import KitError
from mfr_kit.evaluation.agreement import measure_agreement
from mfr_kit.evaluation.inputs.faces import Faces, unit
from mfr_kit.evaluation.verification.bootstrap import draws
from mfr_kit.evaluation.verification.rates import Plan

FARS = (0.2, 0.05)


def faces_of(embeddings: np.ndarray, people: list[str]) -> Faces:
    """Bare faces, each a photograph of its own."""
    keys = np.array([f"face {number}" for number in range(len(people))], object)
    texts = {name: keys for name in ("photos", "keys", "sources")}
    return Faces(
        embeddings=unit(embeddings, keys),
        people=np.array(people, object),
        conditions=np.full(len(keys), "nonmask", object),
        found=np.ones(len(keys), bool),
        masks=np.full(len(keys), "", object),
        **texts,
    )


@pytest.fixture
def strangers():
    """Two models' embeddings of 60 faces of 60 people, not in the order of their names."""
    rng = np.random.default_rng(3)
    people = [f"p{number:02}" for number in rng.permutation(60)]
    first = rng.normal(size=(60, 8))
    return faces_of(first, people), faces_of(first + 0.5 * rng.normal(size=(60, 8)), people)


def closest(faces: Faces, far: float) -> set[tuple[int, int]]:
    pairs = [
        pair
        for pair in itertools.combinations(range(len(faces)), 2)
        if faces.people[pair[0]] != faces.people[pair[1]]
    ]
    pairs.sort(key=lambda pair: -float(faces.embeddings[pair[0]] @ faces.embeddings[pair[1]]))
    return set(pairs[: int(far * len(pairs))])


@pytest.mark.parametrize("each", [1, 3])
def test_it_is_the_share_of_the_closest_pairs_that_stay(strangers, each):
    model, reference = strangers
    people = [f"p{number // each:02}" for number in range(60)]
    model, reference = (faces_of(faces.embeddings, people) for faces in (model, reference))
    found = measure_agreement(model, reference, Plan(FARS)).result["tar_at_far"]
    for row, far in zip(found, FARS, strict=True):
        ours, theirs = closest(model, far), closest(reference, far)
        assert row["far"] == far and row["false_accepts"] == len(theirs)
        assert row["tar"] == pytest.approx(len(ours & theirs) / len(theirs))
        assert 0.2 < row["tar"] < 0.95


def test_a_model_agrees_with_itself_however_its_scores_are_stretched(strangers):
    model, _ = strangers
    one_more = np.column_stack([model.embeddings, np.full(len(model), 2.0)])  # cosines all rise
    stretched = faces_of(one_more, list(model.people))
    rows = measure_agreement(stretched, model, Plan(FARS)).result["tar_at_far"]
    assert [row["tar"] for row in rows] == [1.0, 1.0]


def test_people_are_resampled_as_everywhere(strangers):
    model, reference = strangers
    found = measure_agreement(model, reference, Plan(FARS, resamples=7, seed=4))
    names = sorted(model.people)
    for far in FARS:
        ours, theirs = closest(model, far), closest(reference, far)
        for counts, share in zip(draws(60, 7, 4), found.resampled[f"tar@far={far:g}"], strict=True):
            often = {
                pair: np.prod([counts[names.index(model.people[face])] for face in pair])
                for pair in theirs
            }
            kept = sum(often[pair] for pair in ours & theirs)
            assert share == pytest.approx(kept / sum(often.values()))


def test_few_pairs_give_no_figure(strangers):
    rows = measure_agreement(*strangers, Plan((0.05, 0.01, 1e-4), 5)).result["tar_at_far"]
    assert [row["tar"] is None for row in rows] == [False, True, True]
    assert [row["false_accepts"] for row in rows] == [88, 17, 0]


def test_other_faces_are_refused(strangers):
    model, reference = strangers
    with pytest.raises(KitError, match="not of the same faces"):
        measure_agreement(model.select(np.arange(59)), reference, Plan(FARS))
