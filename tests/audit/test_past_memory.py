"""Neighbours among more embeddings than memory should hold: bounded memory, on the disk, and what
faiss finds when it looks everywhere is what exact search finds.
"""

import csv
import sys
import tracemalloc

import cv2
import numpy as np
import pytest

from mfr_kit.audit import inverted_file, neighbours
from mfr_kit.audit.findings import Search, Thresholds, compare_sets, inspect_set
from mfr_kit.audit.scan import Scan, open_set, scan, scan_with_bank
from mfr_kit.cli import main
from mfr_kit.data.convert import convert
from mfr_kit.data.training_set import from_names
from mfr_kit.errors import KitError
from mfr_kit.models import embedders
from tests.audit.test_findings import Colours, face, people  # noqa: F401  a fixture

EVERYWHERE = 1 << 30
LIMITS = Thresholds(0.999, 0.8, 0.2)


def crowd(count=300, size=64, seed=1):
    """Unit embeddings of people around centres of their own, one with half of all photographs."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(count) < 0.5, 0, rng.integers(0, 40, count)).astype(np.int32)
    rows = rng.normal(size=(40, size))[labels] + 0.3 * rng.normal(size=(count, size))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


def made_up(embeddings, labels):
    names = [f"p{label:02}/{row}.png" for row, label in enumerate(labels)]
    source = from_names("set", [f"p{label:02}" for label in labels], names, bytes)
    hashes = np.arange(len(labels), dtype=np.uint64)
    return Scan(source, hashes, hashes + np.uint64(7 * len(labels)), embeddings)


@pytest.fixture
def faiss():
    found = pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    found.omp_set_num_threads(1)  # threads are slow on a busy machine
    return found


@pytest.fixture
def on_disk(tmp_path):
    """Write an array and read it as a memory map."""

    def write(rows):
        np.save(tmp_path / "rows.npy", rows)
        return np.load(tmp_path / "rows.npy", mmap_mode="r")

    return write


def test_faiss_that_looks_everywhere_finds_what_exact_search_finds(tmp_path, faiss, on_disk):
    embeddings, labels = crowd()
    rows = on_disk(embeddings)
    exact, strangers = neighbours.nearest(rows, rows), neighbours.nearest_stranger(rows, labels)
    found = inverted_file.nearest(rows, rows, tmp_path, EVERYWHERE)
    assert np.array_equal(found.rows, exact.rows)
    found = inverted_file.nearest_stranger(rows, labels, tmp_path, EVERYWHERE)
    assert np.array_equal(found.rows, strangers.rows)
    assert np.allclose(found.cosines, strangers.cosines, atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npy"]


def test_who_meets_only_himself_is_compared_with_everybody(tmp_path, faiss, monkeypatch):
    monkeypatch.setattr(inverted_file, "MOST", 4)
    embeddings, labels = crowd()
    found = inverted_file.nearest_stranger(embeddings, labels, tmp_path, EVERYWHERE)
    assert np.array_equal(found.rows, neighbours.nearest_stranger(embeddings, labels).rows)
    alone = inverted_file.nearest_stranger(embeddings, np.zeros(len(labels), int), tmp_path)
    assert set(alone.rows.tolist()) == {-1} and set(alone.cosines.tolist()) == {-np.inf}


def test_the_findings_are_the_same(tmp_path, faiss):
    embeddings, labels = crowd()
    frequent = np.bincount(labels)[1:].argmax() + 1
    again, wrong = np.flatnonzero(labels == frequent)[:2], int(np.flatnonzero(labels == 0)[3])
    labels[again], embeddings[wrong] = 40, -embeddings[wrong]
    scanned, other = made_up(embeddings, labels), made_up(*crowd(seed=2))
    search = Search(tmp_path, EVERYWHERE)
    exact = list(inspect_set(scanned, LIMITS))
    kinds = {(item.kind, item.photo) for item in exact if item.kind != "one photo"}
    assert kinds == {
        *(("two names", f"p40/{row}.png") for row in again),
        ("likely label error", f"p00/{wrong}.png"),
    }

    def shown(findings):
        return [(item.kind, item.photo, item.other_photo, item.exclude) for item in findings]

    assert shown(inspect_set(scanned, LIMITS, search)) == shown(exact)
    assert shown(compare_sets(scanned, other, Thresholds(same_person=0.3), search)) == shown(
        compare_sets(scanned, other, Thresholds(same_person=0.3))
    )


def test_the_lists_lie_on_disk_and_no_more_than_a_part_is_added_at_a_time(
    tmp_path, faiss, monkeypatch
):
    monkeypatch.setattr(inverted_file, "PART_BYTES", 64 * 4 * 64)
    added = []
    real = inverted_file._rows
    monkeypatch.setattr(inverted_file, "_rows", lambda rows: added.append(len(rows)) or real(rows))
    embeddings, _ = crowd(1000)
    with inverted_file.build(embeddings, tmp_path, EVERYWHERE) as index:
        assert isinstance(
            faiss.downcast_InvertedLists(index.index.invlists), faiss.OnDiskInvertedLists
        )
        assert max(added) == 64 and sum(added[1:]) == 1000
        assert np.array_equal(index.search(embeddings[:9], 1).rows[:, 0], np.arange(9))


def test_memory_is_bounded_by_blocks(monkeypatch, on_disk):
    # products this small are not given to threads, which are slow on a busy machine
    monkeypatch.setattr(neighbours, "ROWS", 16)
    monkeypatch.setattr(neighbours, "COLUMNS", 64)
    embeddings, labels = crowd(1500, 128)
    rows, whole = on_disk(embeddings), embeddings.nbytes
    del embeddings
    limit = neighbours.block_bytes(128) + 64 * len(labels)
    assert limit < whole / 3
    searches = {
        "nearest": lambda count: neighbours.nearest(rows[:count], rows),
        "stranger": lambda count: neighbours.nearest_stranger(rows[:count], labels[:count]),
        "own": lambda count: neighbours.likeness_to_own(rows[:count], labels[:count]),
        "twins": lambda count: list(neighbours.twins_within(rows[:count], labels[:count], 0.9999)),
    }
    for name, search in searches.items():
        search(50)  # what is imported on use
        tracemalloc.start()
        search(len(rows))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < limit, name


def test_people_with_more_photographs_than_a_block(monkeypatch):
    embeddings, labels = crowd(700)
    expected = neighbours.likeness_to_own(embeddings, labels)
    twins = list(neighbours.twins_within(embeddings, labels, 0.9))
    monkeypatch.setattr(neighbours, "ROWS", 16)
    monkeypatch.setattr(neighbours, "COLUMNS", 32)
    assert np.allclose(neighbours.likeness_to_own(embeddings, labels), expected, atol=1e-6)
    found = list(neighbours.twins_within(embeddings, labels, 0.9))
    assert [item[:2] for item in found] == [item[:2] for item in twins] and twins


def test_embeddings_are_a_memory_map(people):  # noqa: F811
    embeddings = scan(open_set(people), Colours()).embeddings
    assert isinstance(embeddings, np.memmap) and embeddings.shape == (24, 12)
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1)


def test_a_bank_is_read_and_not_made_twice(tmp_path, people):  # noqa: F811
    convert(people, tmp_path / "faces", None, "face-set")
    source = open_set(tmp_path / "faces")
    first = scan_with_bank(source, Colours(), tmp_path / "bank")
    assert np.allclose(first.embeddings, scan(source, Colours()).embeddings)

    class Refusing(Colours):
        def embed(self, faces):
            raise AssertionError("embedded again")

    again = scan_with_bank(source, Refusing(), tmp_path / "bank")
    assert np.array_equal(again.embeddings, first.embeddings)
    with pytest.raises(KitError, match=r"faces\.parquet"):
        scan_with_bank(open_set(people), Colours(), tmp_path / "bank")


def test_the_command_by_faiss(tmp_path, people, faiss, monkeypatch):  # noqa: F811
    (people / "p5" / "9.png").write_bytes(cv2.imencode(".png", 255 - face(5, 0))[1].tobytes())
    monkeypatch.setattr(embedders, "load_embedder", lambda *given, **named: Colours())
    whole = [str(people), "--no-turned", "--search"]
    found = {}
    for kind in ("exact", "faiss"):
        assert main(["audit", *whole, kind, "--out", str(tmp_path / kind)]) == 0
        with (tmp_path / kind / "findings.csv").open(newline="") as file:
            found[kind] = list(csv.DictReader(file))
    assert found["faiss"] == found["exact"]
    assert ("likely label error", "p5/9.png") in {
        (row["kind"], row["photo"]) for row in found["exact"]
    }


@pytest.mark.parametrize("command", ["audit", "cluster"])
def test_without_faiss_the_way_out_is_told_before_the_work(command, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "faiss", None)
    places = [str(tmp_path / "nothing"), "--out", str(tmp_path / "out")]
    assert main([command, *places, "--search", "faiss"]) == 2
    assert "pip install faiss-cpu" in capsys.readouterr().err
