import errno
import json
import multiprocessing
import os
import time

import numpy as np
import pytest

from mfr_kit import claims, files
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.models.embedders import load_embedder
from mfr_kit.training.teacher import bank, bank_table
from tests.evaluation.fakes import ColourEmbedder


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


def test_a_bank_in_bf16_is_another_and_says_what_it_costs(tmp_path, faces, teacher_folder, capsys):
    exact, rounded = (
        bank.fill(
            tmp_path,
            faces,
            load_embedder(teacher_folder, threads=1, precision=precision),
            progress=False,
        )
        for precision in ("float32", "bf16")
    )
    assert exact.folder != rounded.folder
    assert not np.array_equal(exact.embeddings, rounded.embeddings)
    told = capsys.readouterr().err
    assert told.count("in bf16: cosine to float32 on ") == 1
    assert f"{len(faces)} faces of {faces.name}: mean " in told


def test_an_interrupted_bank_goes_on_where_it_was_written(tmp_path, faces, teacher, monkeypatch):
    whole = np.array(
        bank.fill(tmp_path / "whole", faces, teacher, batch=2, progress=False).embeddings
    )
    monkeypatch.setattr(bank, "SAVE_EVERY", 3)
    with pytest.raises(KeyboardInterrupt):
        bank.fill(tmp_path, faces, Counting(teacher, stop_after=32), batch=2, progress=False)
    rest = Counting(teacher)
    stored = bank.fill(tmp_path, faces, rest, batch=2, progress=False)
    # 32 images were embedded, the last written save was after 24
    assert rest.seen == 2 * len(faces) - 24
    np.testing.assert_array_equal(stored.embeddings, whole)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a fork of this process")
def test_a_kill_after_the_last_block_leaves_nothing_behind(tmp_path, faces, monkeypatch):
    teacher, real = ColourEmbedder(), files.write_json

    def die_at_the_end(path, about):
        real(path, about)
        if about["blocks"]:
            os._exit(9)

    if not (child := os.fork()):
        monkeypatch.setattr(files, "write_json", die_at_the_end)
        bank.fill(tmp_path, faces, teacher, progress=False)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    (folder,) = tmp_path.iterdir()
    assert (folder / bank_table.WHOLE).exists() and (folder / claims.CLAIMS).exists()
    counting = Counting(teacher)
    bank.fill(tmp_path, faces, counting, progress=False)
    assert counting.seen == 0
    kept = sorted(path.name for path in folder.iterdir())
    assert kept == [bank_table.ABOUT, bank_table.EMBEDDINGS]


def test_another_set_teacher_or_normalisation_gets_a_bank_of_its_own(tmp_path, faces, teacher):
    one = bank.fill(tmp_path, faces, teacher, batch=5, progress=False)
    other = bank.fill(tmp_path, faces.select(np.arange(9)), teacher, batch=5, progress=False)
    raw = Counting(teacher)
    raw.normalisation = "raw_0_255"
    third = bank.fill(tmp_path, faces, raw, batch=5, progress=False)
    assert len({one.folder, other.folder, third.folder}) == 3 and raw.seen == 2 * len(faces)


def zero_rows(folder):
    rows = np.load(folder / "embeddings.npy", mmap_mode="r+")
    rows[6:12] = 0
    rows.flush()


def last_number(folder):
    rows = np.load(folder / "embeddings.npy", mmap_mode="r+")
    rows[-1, 1, -1] += 1
    rows.flush()


def cut_short(folder):
    path = folder / "embeddings.npy"
    path.write_bytes(path.read_bytes()[:-100])


def garbled_record(folder):
    (folder / "bank.json").write_text('{"rows": [')


def record_of_another(folder):
    about = json.loads((folder / "bank.json").read_text())
    (folder / "bank.json").write_text(json.dumps({**about, "model": "another"}))


@pytest.mark.parametrize(
    ("spoil", "again"),
    [
        (zero_rows, 12),
        (last_number, 12),
        (cut_short, 48),
        (garbled_record, 48),
        (record_of_another, 48),
    ],
)
def test_what_is_damaged_is_made_again(tmp_path, faces, teacher, monkeypatch, capsys, spoil, again):
    """`again` counts images: of a damaged block its own, else all."""
    monkeypatch.setattr(bank, "SAVE_EVERY", 3)
    first = bank.fill(tmp_path, faces, ColourEmbedder(), batch=2, progress=False)
    right = np.array(first.embeddings)
    spoil(first.folder)
    counting = Counting(ColourEmbedder())
    stored = bank.fill(tmp_path, faces, counting, batch=2, progress=False)
    np.testing.assert_array_equal(stored.embeddings, right)
    assert counting.seen == again and capsys.readouterr().err.count("made again") == 1


class Slow:
    """A teacher that takes its time, in a process of its own, and writes down what it sees.
    Its first faces are embedded when all that share the gate have theirs.
    """

    name, fingerprint, embedding_size, lineage = "slow", "s" * 64, 48, None

    def __init__(self, log, gate=None):
        self.log, self.gate = log, gate

    def embed(self, faces):
        if self.gate is not None:
            self.gate.wait(timeout=60)
            self.gate = None
        time.sleep(0.02)
        with self.log.open("a") as file:
            file.write(f"{len(faces)}\n")
        return ColourEmbedder().embed(faces)


def fill_slowly(root, folder, results, gate):
    teacher = Slow(root / f"seen-{os.getpid()}", gate)
    stored = bank.fill(root, FaceSet.open(folder), teacher, batch=2, progress=False)
    results.put(np.array(stored.embeddings))


def start_filling(count, root, folder, all_share=False):
    context = multiprocessing.get_context("fork")
    results, gate = context.Queue(), context.Barrier(count) if all_share else None
    arguments = (root, folder, results, gate)
    runs = [context.Process(target=fill_slowly, args=arguments) for _ in range(count)]
    for run in runs:
        run.start()
    return runs, results


def images_seen(root):
    return sorted(sum(map(int, path.read_text().split())) for path in root.glob("seen-*"))


def expect_whole(rows, faces):
    images = np.stack([faces.image(index) for index in range(len(faces))])
    np.testing.assert_array_equal(rows[:, 0], ColourEmbedder().embed(images))
    np.testing.assert_array_equal(rows[:, 1], ColourEmbedder().embed(images[:, :, ::-1]))


@pytest.mark.parametrize("count", [2, 3])
def test_processes_that_share_a_bank_fill_it_together(
    tmp_path, faces, set_folder, monkeypatch, count
):
    monkeypatch.setattr(bank, "SAVE_EVERY", 1)
    runs, results = start_filling(count, tmp_path, set_folder, all_share=True)
    found = [results.get(timeout=60) for _ in runs]
    for run in runs:
        run.join()
    for rows in found:
        expect_whole(rows, faces)
    seen = images_seen(tmp_path)
    assert sum(seen) == 2 * len(faces)  # nothing twice
    assert len(seen) == count and seen[0] > 0  # by all of them
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert sorted(path.name for path in folder.iterdir()) == ["bank.json", "embeddings.npy"]


def test_a_folder_that_another_process_has_tidied_away_is_made_again(tmp_path, faces, monkeypatch):
    real, tidied = files.write_text, []

    def write_text(path, text):
        if path.parent.name == bank_table.WHOLE and len(tidied) < 2:
            path.parent.mkdir(exist_ok=True)
            path.parent.rmdir()
            tidied.append(path)
            raise FileNotFoundError(2, "No such file or directory", str(path))
        real(path, text)

    monkeypatch.setattr(files, "write_text", write_text)
    stored = bank.fill(tmp_path, faces, ColourEmbedder(), batch=2, progress=False)
    expect_whole(stored.embeddings, faces)
    assert len(tidied) == 2


def test_a_killed_process_leaves_its_blocks_to_the_others(tmp_path, faces, set_folder, monkeypatch):
    monkeypatch.setattr(bank, "SAVE_EVERY", 2)
    runs, results = start_filling(2, tmp_path, set_folder)
    while not images_seen(tmp_path):
        time.sleep(0.01)
    runs[0].kill()
    rows = results.get(timeout=60)
    runs[1].join()
    expect_whole(rows, faces)
    # a third one finds nothing to do
    again = Slow(tmp_path / "third")
    bank.fill(tmp_path, faces, again, batch=2, progress=False)
    assert not again.log.exists()


def test_what_all_left_is_continued_by_any_number(tmp_path, faces, set_folder, monkeypatch):
    monkeypatch.setattr(bank, "SAVE_EVERY", 1)
    runs, _ = start_filling(2, tmp_path, set_folder)
    while sum(images_seen(tmp_path)) < 16:
        time.sleep(0.01)
    for run in runs:
        run.kill()
        run.join()
    before = sum(images_seen(tmp_path))
    runs, results = start_filling(3, tmp_path, set_folder)
    for rows in [results.get(timeout=60) for _ in runs]:
        expect_whole(rows, faces)
    for run in runs:
        run.join()
    # of a killed process at most the batch in its hands and those read ahead are made again
    assert sum(images_seen(tmp_path)) - before <= 2 * len(faces) - (before - 2 * 4)


def test_a_process_of_another_machine_is_waited_for_until_it_is_silent(
    tmp_path, faces, monkeypatch, capsys
):
    monkeypatch.setattr(claims, "STALE_S", 0.6)
    monkeypatch.setattr(claims, "PATIENCE_S", 0.2)
    monkeypatch.setattr(bank, "SAVE_EVERY", 3)
    folder = bank.fill(tmp_path, faces, ColourEmbedder(), batch=2, progress=False).folder
    (folder / "embeddings.npy").unlink()
    (folder / bank.CLAIMS).mkdir()
    foreign = folder / bank.CLAIMS / "6"
    foreign.write_text('{"host": "elsewhere", "pid": 1, "claim": "x"}')
    stored = bank.fill(tmp_path, faces, ColourEmbedder(), batch=2, progress=False)
    expect_whole(stored.embeddings, faces)
    assert "waiting for process 1 on elsewhere, which fills" in capsys.readouterr().err
    assert not foreign.exists()


def test_a_full_disk_is_refused_before_the_teacher_works(tmp_path, faces, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    counting = Counting(ColourEmbedder())
    with pytest.raises(OSError, match="No space left"):
        bank.fill(tmp_path, faces, counting, progress=False)
    assert counting.seen == 0
    assert not list(tmp_path.glob("*/embeddings.npy*"))


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
    for value, complaint in (
        (np.nan, r"teacher\d gave a non-finite embedding for faces/p00/0\.png"),
        (0, r"teacher\d gave an all-zero embedding for faces/p00/0\.png"),
        (3, r"teacher\d gives one and the same embedding for \d+ different faces"),
    ):
        broken.embed = lambda images, value=value: np.full((len(images), 16), value, np.float32)
        for _ in range(2):  # what was refused is not taken from the disk the next time
            with pytest.raises(KitError, match=complaint):
                bank.fill(tmp_path, faces.select(np.arange(9)), broken, progress=False)


def test_numbers_beyond_half_precision_are_refused(tmp_path, faces, teacher):
    large = Counting(teacher)
    large.embed = lambda images: teacher.embed(images) * 1e12
    with pytest.raises(KitError, match="--bank-dtype float32"):
        bank.fill(tmp_path, faces, large, dtype="float16", progress=False)
