import json

import numpy as np
import pytest

from mfr_kit.data.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.models.embedders import load_embedder
from mfr_kit.training import bank


class Counting:
    """Wraps a teacher, counts the images it sees and can stop like a killed process."""

    def __init__(self, inner, stop_after=None):
        self._inner, self.seen, self._stop = inner, 0, stop_after
        self.name, self.fingerprint, self.embedding_size = (
            inner.name,
            inner.fingerprint,
            inner.embedding_size,
        )

    def embed(self, faces):
        if self._stop is not None and self.seen >= self._stop:
            raise KeyboardInterrupt
        self.seen += len(faces)
        return self._inner.embed(faces)


@pytest.fixture
def faces(set_folder):
    return FaceSet.open(set_folder)


@pytest.fixture
def teacher(teacher_folder):
    return load_embedder(teacher_folder, threads=1)


def test_rows_are_the_faces_and_their_mirror_images(tmp_path, faces, teacher):
    stored = bank.fill(tmp_path, faces, teacher, batch=5, progress=False)
    for index in (0, 13, 23):
        image = faces.image(index)[None]
        np.testing.assert_allclose(stored.rows(np.array([index])), teacher.embed(image), atol=1e-5)
        np.testing.assert_allclose(
            stored.rows(np.array([index]), 1), teacher.embed(image[:, :, ::-1]), atol=1e-5
        )
    sums = stored.sums(np.arange(3))
    np.testing.assert_allclose(np.linalg.norm(sums, axis=1), 1, rtol=1e-6)
    both = stored.embeddings[:3] / np.linalg.norm(stored.embeddings[:3], axis=2, keepdims=True)
    np.testing.assert_allclose(
        sums * np.linalg.norm(both.sum(1), axis=1, keepdims=True), both.sum(1), atol=1e-6
    )


def test_a_full_bank_is_not_computed_again(tmp_path, faces, teacher):
    first = Counting(teacher)
    bank.fill(tmp_path, faces, first, batch=5, progress=False)
    again = Counting(teacher)
    bank.fill(tmp_path, faces, again, batch=5, progress=False)
    assert (first.seen, again.seen) == (2 * len(faces), 0)


def test_an_interrupted_bank_goes_on_where_it_was_written(tmp_path, faces, teacher, monkeypatch):
    whole = np.array(
        bank.fill(tmp_path / "whole", faces, teacher, batch=2, progress=False).embeddings
    )
    monkeypatch.setattr(bank, "SAVE_EVERY", 3)
    with pytest.raises(KeyboardInterrupt):
        bank.fill(tmp_path, faces, Counting(teacher, stop_after=32), batch=2, progress=False)
    rest = Counting(teacher)
    stored = bank.fill(tmp_path, faces, rest, batch=2, progress=False)
    assert (
        rest.seen == 2 * len(faces) - 24
    )  # 32 images were embedded, the last written save was after 24
    np.testing.assert_array_equal(stored.embeddings, whole)


def test_another_set_or_teacher_gets_a_bank_of_its_own_and_a_forged_one_is_refused(
    tmp_path, faces, teacher
):
    one = bank.fill(tmp_path, faces, teacher, batch=5, progress=False)
    other = bank.fill(tmp_path, faces.select(np.arange(9)), teacher, batch=5, progress=False)
    assert one.folder != other.folder
    about = json.loads((one.folder / "bank.json").read_text())
    (one.folder / "bank.json").write_text(json.dumps({**about, "teacher": "0" * 64}))
    with pytest.raises(KitError, match="something else"):
        bank.fill(tmp_path, faces, teacher, batch=5, progress=False)


def test_half_precision_is_close_and_half_the_size(tmp_path, faces, teacher):
    full = bank.fill(tmp_path, faces, teacher, progress=False).embeddings
    half = bank.fill(tmp_path, faces, teacher, dtype="float16", progress=False).embeddings
    assert half.dtype == np.float16 and half.nbytes * 2 == full.nbytes
    np.testing.assert_allclose(half, full, rtol=2e-3, atol=1e-4)


def test_masked_faces_and_broken_teachers_are_refused(tmp_path, faces, teacher):
    import pyarrow as pa

    masked = FaceSet(
        faces.folder,
        faces.table.set_column(3, "condition", pa.array(["mask"] * len(faces))),
        [],
        {},
    )
    with pytest.raises(KitError, match="clean ones only"):
        bank.fill(tmp_path, masked, teacher, progress=False)
    broken = Counting(teacher)
    broken.embed = lambda images: np.full((len(images), 16), np.nan, np.float32)
    with pytest.raises(KitError, match=r"non-finite embedding for faces/p00/0\.png"):
        bank.fill(tmp_path, faces, broken, progress=False)
