"""Occlusion maps against a slow loop over patches, and the choice of pairs against what it
promises.
"""

import numpy as np
import pytest

from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.faces import from_set
from mfr_kit.evaluation.report import explain
from mfr_kit.evaluation.report.pictures import LOWERS, RAISES, overlay
from mfr_kit.seeding import rng_for
from tests.conftest import write_faceset
from tests.evaluation.fakes import ColourEmbedder
from tests.evaluation.tables import table


def slow_map(
    embedder, face: np.ndarray, partner: np.ndarray, flip: bool
) -> tuple[float, list[list[float]]]:
    def cosine(picture: np.ndarray) -> float:
        out = embedder.embed(picture[None])[0].astype(np.float64)
        if flip:
            out = out + embedder.embed(picture[:, ::-1][None])[0]
        return float(out @ partner / np.linalg.norm(out) / np.linalg.norm(partner))

    rows = []
    for down in range(14):
        rows.append([])
        for across in range(14):
            hidden = face.copy()
            for y in range(8 * down + 4 - 12, 8 * down + 4 + 12):
                for x in range(8 * across + 4 - 12, 8 * across + 4 + 12):
                    if 0 <= y < 112 and 0 <= x < 112:
                        hidden[y, x] = 128
            rows[-1].append(cosine(face) - cosine(hidden))
    return cosine(face), rows


@pytest.mark.parametrize(("flip", "batch"), [(False, 64), (True, 7), (False, 1000)])
def test_maps_equal_a_slow_loop_whatever_the_batch(flip: bool, batch: int) -> None:
    rng = rng_for(1)
    face = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
    before = face.copy()
    partner = rng.normal(size=48).astype(np.float32)
    partner /= np.linalg.norm(partner)
    cosine, falls = explain.sensitivity(ColourEmbedder(), face, partner, "face.jpg", flip, batch)
    wanted, rows = slow_map(ColourEmbedder(), face, partner, flip)
    assert cosine == pytest.approx(wanted, abs=1e-5)
    np.testing.assert_allclose(falls, rows, atol=2e-5)
    assert np.abs(falls).max() > 0.01 and (face == before).all()


def test_a_model_that_returns_nothing_is_named() -> None:
    class Silent(ColourEmbedder):
        def embed(self, faces: np.ndarray) -> np.ndarray:
            return np.zeros((len(faces), 48), np.float32)

    with pytest.raises(KitError, match=r"face\.jpg is all zeros"):
        explain.sensitivity(
            Silent(), np.zeros((112, 112, 3), np.uint8), np.ones(48, np.float32), "face.jpg"
        )


def test_pairs_run_evenly_from_the_worst_to_the_best_and_are_fair(tmp_path) -> None:
    faceset = write_faceset(tmp_path / "set", people=5, takes=3)
    faces = from_set(
        ColourEmbedder().embed(np.stack([faceset.image(row) for row in range(len(faceset))])),
        faceset,
    )
    everything = explain.choose(faces, 10_000)
    assert len(everything) == 15
    scores = [
        float(faces.embeddings[trio.masked] @ faces.embeddings[trio.partner]) for trio in everything
    ]
    assert scores == sorted(scores)
    for trio in everything:
        assert len({faces.people[row] for row in (trio.masked, trio.clean, trio.partner)}) == 1
        assert faces.photos[trio.masked] == faces.photos[trio.clean] != faces.photos[trio.partner]
        assert [faces.conditions[row] for row in (trio.masked, trio.clean, trio.partner)] == [
            "mask",
            "nonmask",
            "nonmask",
        ]
    assert explain.choose(faces, 3) == [everything[0], everything[7], everything[14]]
    assert explain.choose(faces, 1) == everything[:1]


def test_a_real_mask_is_laid_beside_another_photograph_and_lost_faces_beside_none() -> None:
    rng = rng_for(2)
    conditions = ["mask", "nonmask", "nonmask", "nonmask", "mask", "nonmask"]
    found = [True, False, True, True, True, True]
    faces = table(rng.normal(size=(6, 4)), "aaaabb", conditions=conditions, found=found)
    (trio,) = explain.choose(faces, 5)
    assert (trio.masked, trio.clean, trio.partner) == (0, 2, 3), (
        "b has one bare photograph only, and face 1 was not found"
    )
    joined = explain.concatenate(faces, [trio], {"m": [{"clean": {}, "masked": {}}]})
    assert joined["pairs"][0]["twin"] is False and joined["pairs"][0]["clean"] == "key2"
    with pytest.raises(KitError, match="--explain"):
        explain.choose(table(rng.normal(size=(2, 4)), "ab"), 3)


def test_maps_are_magenta_where_the_cosine_falls_and_green_where_it_rises() -> None:
    face = np.full((112, 112, 3), 90, np.uint8)
    falls = np.zeros((14, 14), np.float32)
    falls[:, :5], falls[:, 9:] = 0.2, -0.4
    drawn = overlay(face, falls, 0.2).astype(float)
    np.testing.assert_allclose(drawn[50, 10], 0.25 * 90 + 0.75 * LOWERS, atol=1)
    np.testing.assert_allclose(drawn[50, 100], 0.25 * 90 + 0.75 * RAISES, atol=1)
    np.testing.assert_allclose(drawn[50, 56], 90, atol=1)
