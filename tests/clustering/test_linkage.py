"""Clusters are those of average linkage by the slow way, with memory that does not follow the
embeddings.
"""

import tracemalloc

import numpy as np
import pytest

from mfr_kit.audit import inverted_file, neighbours
from mfr_kit.clustering import graph, linkage
from mfr_kit.clustering.agreement import Agreement, measure
from tests.clustering.made_up import same_division

EVERYWHERE = 1 << 30


@pytest.fixture
def faiss():
    found = pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    found.omp_set_num_threads(1)  # threads are slow on a busy machine
    return found


def crowd(count=120, size=8, people=25, noise=0.35, seed=0):
    """Unit embeddings around centres, near enough to each other that linkage decides."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, people, count)
    rows = rng.normal(size=(people, size))[labels] + noise * rng.normal(size=(count, size))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


def slow_linkage(rows, threshold):
    """Merge the two clusters with the highest mean cosine of all pairs, one pair after another."""
    cosines = rows.astype(np.float64) @ rows.T
    clusters = [[row] for row in range(len(rows))]
    while len(clusters) > 1:
        means = {
            (a, b): cosines[np.ix_(clusters[a], clusters[b])].mean()
            for a in range(len(clusters))
            for b in range(a)
        }
        (a, b), value = max(means.items(), key=lambda item: item[1])
        if value < threshold:
            break
        clusters[b] += clusters.pop(a)
    labels = np.empty(len(rows), int)
    for number, members in enumerate(clusters):
        labels[members] = number
    return labels


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.8])
def test_it_is_average_linkage(seed, threshold, monkeypatch):
    monkeypatch.setattr(linkage, "PAIRS", 7)
    rows, _ = crowd(50, people=14, seed=seed)
    found = linkage.merge(rows, graph.find_edges(rows, threshold, len(rows)), threshold)
    expected = slow_linkage(rows, threshold)
    assert same_division(found, expected) and 1 < len(set(found.tolist())) < 50


@pytest.mark.parametrize("blocks", [(7, 5), (1024, 8192)])
def test_edges_are_the_nearest_at_the_threshold(blocks, monkeypatch):
    monkeypatch.setattr(neighbours, "ROWS", blocks[0])
    monkeypatch.setattr(neighbours, "COLUMNS", blocks[1])
    rows, _ = crowd()
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -1)
    expected = set()
    for row, near in enumerate(np.argsort(-cosines, axis=1)[:, :3].tolist()):
        expected |= {(min(row, to), max(row, to)) for to in near if cosines[row, to] >= 0.5}
    found = graph.find_edges(rows, 0.5, 3)
    pairs = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert set(pairs) == expected and len(pairs) == len(expected)
    assert np.allclose(found.cosines, cosines[found.first, found.second], atol=1e-6)


def test_faiss_that_looks_everywhere_gives_the_same_clusters(tmp_path, faiss):
    rows, _ = crowd()
    exact = graph.find_edges(rows, 0.5, 6)
    found = graph.find_edges_by_faiss(rows, 0.5, 6, tmp_path, EVERYWHERE)
    assert np.array_equal(found.first, exact.first) and np.array_equal(found.second, exact.second)
    assert np.array_equal(linkage.merge(rows, found, 0.5), linkage.merge(rows, exact, 0.5))
    assert not list(tmp_path.iterdir())


def test_few_cells_find_most(tmp_path, faiss):
    rows, _ = crowd(3000, 32, 300)
    exact = set(zip(*graph.find_edges(rows, 0.6, 16)[:2], strict=True))
    found = graph.find_edges_by_faiss(rows, 0.6, 16, tmp_path, inverted_file.PROBED)
    near = set(zip(*found[:2], strict=True))
    assert len(near & exact) > 0.95 * len(exact)


def test_people_that_are_far_apart_are_found():
    rows, labels = crowd(400, 64, 60, noise=0.3)
    found = linkage.merge(rows, graph.find_edges(rows, 0.5, 8), 0.5)
    assert same_division(found, labels)
    assert np.array_equal(
        np.unique(found, return_index=True)[1], sorted(np.unique(found, return_index=True)[1])
    )


def test_no_two_near_faces_and_one_person_alone():
    rows = np.eye(5, dtype=np.float32)
    assert linkage.merge(rows, graph.find_edges(rows, 0.5, 3), 0.5).tolist() == [0, 1, 2, 3, 4]
    same = np.repeat(rows[:1], 5, axis=0)
    assert linkage.merge(same, graph.find_edges(same, 0.5, 2), 0.5).tolist() == [0] * 5


def test_memory_is_bounded(monkeypatch, tmp_path):
    # products this small are not given to threads, which are slow on a busy machine
    monkeypatch.setattr(neighbours, "ROWS", 8)
    monkeypatch.setattr(neighbours, "COLUMNS", 32)
    monkeypatch.setattr(linkage, "PAIRS", 32)
    rows, _ = crowd(600, 512, 200, noise=0.2)
    linkage.merge(rows, graph.find_edges(rows[:50], 0.6, 4), 0.6)  # what is imported on use
    np.save(tmp_path / "rows.npy", rows)
    whole = rows.nbytes
    rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
    tracemalloc.start()
    edges = graph.find_edges(rows, 0.6, 4)
    linkage.merge(rows, edges, 0.6, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    limit = graph.held_bytes(len(rows), 512, len(edges.first))
    assert peak < limit < whole / 1.5


def test_agreement_by_hand():
    clusters, people = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 1])
    found = measure(clusters, people)
    # pairs: 4 in clusters, 7 of people, 2 in both
    assert (found.pair_precision, found.pair_recall) == (2 / 4, 2 / 7)
    assert found.bcubed_precision == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 + 1 + 1) / 6)
    assert found.bcubed_recall == pytest.approx((1 + 1 + 1 / 4 + 2 / 4 + 2 / 4 + 1 / 4) / 6)
    assert found.pair_f == pytest.approx(2 * (1 / 2) * (2 / 7) / (1 / 2 + 2 / 7))
    assert measure(np.arange(3), np.arange(3)) == Agreement(1.0, 1.0, 1.0, 1.0)
