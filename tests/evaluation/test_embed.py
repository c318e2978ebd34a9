"""Embedding a set: the right row for every face, whatever the batch and threads, and found again only when nothing changed."""

import numpy as np
import pytest

from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.evaluation.embed import cache_folder, embed_set
from tests.conftest import write_faceset
from tests.evaluation.fakes import ColourEmbedder


def one_by_one(faceset, flip: bool = False) -> np.ndarray:
    rows = []
    for index in range(len(faceset)):
        face = faceset.image(index)[None]
        rows.append(
            ColourEmbedder().embed(face)[0]
            + (ColourEmbedder().embed(face[:, :, ::-1])[0] if flip else 0)
        )
    return np.stack(rows)


@pytest.mark.parametrize(("batch", "workers"), [(1, 1), (5, 2), (7, 4), (64, 2)])
def test_every_face_gets_its_own_row(drawn_set, batch: int, workers: int) -> None:
    """A set smaller than a batch, and a last batch that is not full, too (peers.md, B12)."""
    done = []
    result = embed_set(
        ColourEmbedder(), drawn_set, batch=batch, workers=workers, progress=done.append
    )
    np.testing.assert_array_equal(result, one_by_one(drawn_set))
    assert sum(done) == len(drawn_set)


def test_the_mirrored_face_is_added(drawn_set) -> None:
    np.testing.assert_array_equal(
        embed_set(ColourEmbedder(), drawn_set, flip=True), one_by_one(drawn_set, flip=True)
    )


def test_a_stored_result_is_used_until_set_model_or_option_changes(drawn_set, tmp_path) -> None:
    cache, embedder = tmp_path / "cache", ColourEmbedder()
    first = embed_set(embedder, drawn_set, cache=cache)
    calls = embedder.calls
    np.testing.assert_array_equal(embed_set(embedder, drawn_set, cache=cache), first)
    assert embedder.calls == calls
    embed_set(embedder, drawn_set, cache=cache, flip=True)
    embed_set(embedder, drawn_set.select([0, 1]), cache=cache)
    embed_set(ColourEmbedder(upper=True), drawn_set, cache=cache)
    assert len(list(cache.iterdir())) == 4


def test_a_changed_picture_is_embedded_anew(tmp_path) -> None:
    one, two = write_faceset(tmp_path / "one", people=2), write_faceset(tmp_path / "two", people=2)
    rows = two.table.to_pylist()
    data = encode(255 - two.image(0))
    (two.folder / rows[0]["key"]).write_bytes(data)
    from mfr_kit.data.faceset import FaceSet, digest_of, write_rows

    write_rows(two.folder, [([{**rows[0], "digest": digest_of(data)}, *rows[1:]], [])], {})
    changed = embed_set(ColourEmbedder(), FaceSet.open(two.folder), cache=tmp_path / "cache")
    assert not np.array_equal(
        embed_set(ColourEmbedder(), one, cache=tmp_path / "cache")[0], changed[0]
    )


def test_a_damaged_stored_result_is_named(drawn_set, tmp_path) -> None:
    embed_set(ColourEmbedder(), drawn_set, cache=tmp_path)
    stored = next(tmp_path.iterdir())
    stored.write_bytes(stored.read_bytes()[:40])
    with pytest.raises(KitError, match="delete the file"):
        embed_set(ColourEmbedder(), drawn_set, cache=tmp_path)


def test_results_are_kept_in_the_kits_home(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("MFR_KIT_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "embeddings"


def test_a_missing_picture_stops_the_run_by_name(drawn_set) -> None:
    (drawn_set.folder / drawn_set.keys[9]).unlink()
    with pytest.raises(KitError, match=str(drawn_set.keys[9])):
        embed_set(ColourEmbedder(), drawn_set, batch=4)
