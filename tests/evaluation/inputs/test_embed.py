"""Embedding a set: the right row for every face, whatever the batch and threads, and found again
only when nothing changed.
"""

import os
import shutil

import numpy as np
import pytest

from mfr_kit.data.face_set import content
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.formats.face_set import open_set, write_set
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.embed import cache_folder, embed_set
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
    """A set smaller than a batch, and a last batch that is not full, too."""
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
    assert len(list(cache.glob("*.npy"))) == len(list(cache.glob("*.json"))) == 4


def test_a_changed_picture_is_embedded_anew(tmp_path) -> None:
    one, two = write_faceset(tmp_path / "one", people=2), write_faceset(tmp_path / "two", people=2)
    rows = two.table.to_pylist()
    data = encode(255 - two.image(0))
    (two.folder / rows[0]["key"]).write_bytes(data)
    from mfr_kit.data.face_set.content import digest_of
    from mfr_kit.data.face_set.faceset_writer import write_rows

    write_rows(two.folder, [([{**rows[0], "digest": digest_of(data)}, *rows[1:]], [])], {})
    changed = embed_set(ColourEmbedder(), FaceSet.open(two.folder), cache=tmp_path / "cache")
    assert not np.array_equal(
        embed_set(ColourEmbedder(), one, cache=tmp_path / "cache")[0], changed[0]
    )


def cut_short(path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def zeros(path) -> None:
    np.save(path, np.zeros_like(np.load(path)))


def not_numbers(path) -> None:
    np.save(path, np.full_like(np.load(path), np.nan))


def without_record(path) -> None:
    path.with_suffix(".json").unlink()


def garbled_record(path) -> None:
    path.with_suffix(".json").write_text("[1, {")


def folder_in_its_place(path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "spoil", [cut_short, zeros, not_numbers, without_record, garbled_record, folder_in_its_place]
)
def test_a_stored_result_that_is_not_what_was_stored_is_made_again(
    drawn_set, tmp_path, capsys, spoil
) -> None:
    right = embed_set(ColourEmbedder(), drawn_set, cache=tmp_path)
    spoil(next(tmp_path.glob("*.npy")))
    np.testing.assert_array_equal(embed_set(ColourEmbedder(), drawn_set, cache=tmp_path), right)
    assert "made again" in capsys.readouterr().err


def test_the_stored_result_of_another_model_in_its_place_is_made_again(drawn_set, tmp_path) -> None:
    right = embed_set(ColourEmbedder(), drawn_set, cache=tmp_path)
    place = next(tmp_path.glob("*.npy"))
    other = ColourEmbedder()
    other.fingerprint, other.embed = "0" * 64, lambda faces: 2 * ColourEmbedder().embed(faces) + 1
    embed_set(other, drawn_set, cache=tmp_path)
    theirs = next(path for path in tmp_path.glob("*.npy") if path != place)
    for suffix in (".npy", ".json"):
        place.with_suffix(suffix).write_bytes(theirs.with_suffix(suffix).read_bytes())
    np.testing.assert_array_equal(embed_set(ColourEmbedder(), drawn_set, cache=tmp_path), right)


def test_a_cache_that_cannot_be_written_costs_a_line_not_the_result(
    drawn_set, tmp_path, capsys
) -> None:
    (tmp_path / "file").write_text("")
    result = embed_set(ColourEmbedder(), drawn_set, cache=tmp_path / "file" / "cache")
    np.testing.assert_array_equal(result, one_by_one(drawn_set))
    assert "not kept for another run" in capsys.readouterr().err


@pytest.mark.parametrize("records", [False, True])
def test_a_picture_replaced_behind_the_sets_back_is_embedded_anew(
    tmp_path, monkeypatch, capsys, records
) -> None:
    """Its time is kept, and the table of digests is as it was."""
    monkeypatch.setattr(content, "RACE_NS", 0)
    folder = files = write_faceset(tmp_path / "set", people=2).folder
    if records:
        folder = tmp_path / "records"
        write_set(folder, open_set(files), in_records=True)
    cache = tmp_path / "cache"
    before = embed_set(ColourEmbedder(), FaceSet.open(folder), cache=cache)
    assert embed_set(ColourEmbedder(), FaceSet.open(folder), cache=cache) is not None
    assert "taken as they are now" not in capsys.readouterr().err
    swap(files)
    if records:
        write_set(tmp_path / "swapped", open_set(files), in_records=True)
        for name in ("faces-00000.rec", "faces-00000.idx"):
            shutil.copy(tmp_path / "swapped" / name, folder / name)
    after = embed_set(ColourEmbedder(), FaceSet.open(folder), cache=cache)
    assert "2 of its" in capsys.readouterr().err
    np.testing.assert_array_equal(after[[1, 0]], before[:2])
    np.testing.assert_array_equal(after[2:], before[2:])
    assert not np.array_equal(before[0], before[1])


def swap(folder) -> None:
    """Exchange the images of rows 0 and 1, their times kept."""
    faces = FaceSet.open(folder)
    for key, data in zip(faces.keys[:2], (faces.encoded(1), faces.encoded(0)), strict=True):
        stamp = (folder / key).stat()
        (folder / key).write_bytes(data)
        os.utime(folder / key, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


class Broken(ColourEmbedder):
    """Gives every face the same numbers."""

    def __init__(self, value: float) -> None:
        super().__init__("spoiled")
        self.value = value

    def embed(self, faces: np.ndarray) -> np.ndarray:
        return np.full((len(faces), self.embedding_size), self.value, np.float32)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (0.0, r"spoiled gave an all-zero embedding for faces/p00/0\.jpg"),
        (np.nan, r"spoiled gave a non-finite embedding for faces/p00/0\.jpg"),
        (0.5, r"spoiled gives one and the same embedding for \d+ different faces"),
    ],
)
def test_a_model_that_gives_no_embeddings_is_refused_by_name(
    drawn_set, tmp_path, value: float, complaint: str
) -> None:
    with pytest.raises(KitError, match=complaint):
        embed_set(Broken(value), drawn_set, batch=4, cache=tmp_path)
    assert not list(tmp_path.glob("*.npy"))


def test_one_picture_for_all_may_have_one_embedding(drawn_set) -> None:
    class Same:
        fingerprint = "same"

        def __len__(self) -> int:
            return 40

        def image(self, index: int) -> np.ndarray:
            return drawn_set.image(0)

    assert (np.ptp(embed_set(ColourEmbedder(), Same()), axis=0) == 0).all()


def test_a_collapsed_model_is_said_to_be_one(drawn_set, capsys) -> None:
    collapsed = ColourEmbedder("collapsed")
    collapsed.embed = lambda faces: 1e6 + ColourEmbedder().embed(faces)
    embed_set(collapsed, drawn_set)
    assert "collapsed differ by" in capsys.readouterr().err
    embed_set(ColourEmbedder(), drawn_set)
    assert not capsys.readouterr().err


def test_results_are_kept_in_the_kits_home(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("MFR_KIT_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "embeddings"


def test_a_missing_picture_stops_the_run_by_name(drawn_set) -> None:
    (drawn_set.folder / drawn_set.keys[9]).unlink()
    with pytest.raises(KitError, match=str(drawn_set.keys[9])):
        embed_set(ColourEmbedder(), drawn_set, batch=4)
