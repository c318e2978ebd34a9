import sys

import numpy as np
import pytest
import torch

from mfr_kit.errors import KitError
from mfr_kit.losses._batch import unit
from mfr_kit.training.teacher import approximate, blocks, mining
from mfr_kit.training.teacher.bank import Bank

LABELS = np.array([2, 0, 1, 1, 3, 0, 2, 2, 4])  # identities 3 and 4 have one image


@pytest.fixture
def stored(tmp_path):
    return Bank(
        tmp_path, np.random.default_rng(0).normal(size=(len(LABELS), 2, 6)).astype(np.float32)
    )


def normed(x):
    return x / np.linalg.norm(x)


def test_prototypes_are_normalised_means_of_normalised_embeddings(stored):
    for block in (2, 100):
        found = mining.prototypes(stored, LABELS, block).numpy()
        for identity in range(5):
            own = [normed(stored.embeddings[i, 0]) for i in np.flatnonzero(identity == LABELS)]
            np.testing.assert_allclose(found[identity], normed(np.mean(own, axis=0)), atol=1e-6)


@pytest.mark.parametrize(
    ("classes", "count"), [(23, 5), (400, 6), (407, 24), (415, 24), (1000, 1), (1000, 999)]
)
def test_partners_of_wide_rows_are_what_topk_gives(classes, count):
    points = unit(torch.randn(classes, 8, generator=torch.Generator().manual_seed(classes)))
    similarity = points @ points.T
    similarity.fill_diagonal_(-torch.inf)
    assert torch.equal(mining.nearest(points, count).long(), similarity.topk(count, dim=1).indices)


@pytest.mark.parametrize("values", [1, 7 * 50, 1 << 20])
def test_nearest_equals_a_sort_whatever_the_block(values, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_VALUES", values)
    points = unit(torch.randn(50, 8, generator=torch.Generator().manual_seed(1)))
    found = mining.nearest(points, 6).numpy()
    similarity = points.numpy() @ points.numpy().T
    for row in range(50):
        wanted = [i for i in np.argsort(-similarity[row]) if i != row][:6]
        assert found[row].tolist() == wanted


def test_k_is_capped_at_the_other_people():
    found = mining.nearest(unit(torch.randn(4, 3)), 100)
    assert [sorted(row) for row in found.tolist()] == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


def test_what_was_mined_is_kept_beside_the_bank(stored, monkeypatch):
    prototypes = mining.prototypes(stored, LABELS)
    first = mining.cached_nearest(stored, prototypes, 3)
    monkeypatch.setattr(mining, "nearest", None)
    assert torch.equal(mining.cached_nearest(stored, prototypes, 3), first)


def partners(stored, kind="image", by="teacher", count=3, seed=0):
    return mining.Partners(
        stored, LABELS, mining.prototypes(stored, LABELS), mining.Draw(kind, by, count, seed)
    )


def batch(indices, epoch=0):
    indices = np.array(indices)
    student = torch.randn(len(LABELS), 6, generator=torch.Generator().manual_seed(3))[indices]
    return student, torch.from_numpy(LABELS[indices]), np.full(len(indices), epoch), indices


@pytest.mark.parametrize("by", ["teacher", "student", "both"])
def test_partners_are_other_people_never_one_twice(stored, by):
    student, labels, _, _ = batch(range(9))
    found = partners(stored, by=by).identities(student, labels)
    assert found.shape == (9, 3)
    for own, row in zip(labels.tolist(), found.tolist(), strict=True):
        assert own not in row and len(set(row)) == 3


def test_student_side_mining_takes_the_students_nearest(stored):
    student, labels, _, _ = batch(range(9))
    found = partners(stored, by="student", count=2).identities(student, labels).numpy()
    similarity = unit(student).numpy() @ mining.prototypes(stored, LABELS).numpy().T
    for row in range(9):
        wanted = [c for c in np.argsort(-similarity[row]) if c != LABELS[row]][:2]
        assert found[row].tolist() == wanted


def test_both_sides_share_the_places(stored):
    student, labels, _, _ = batch(range(9))
    found = partners(stored, by="both", count=4).identities(student, labels)
    teachers = partners(stored, by="teacher", count=2).identities(student, labels)
    assert torch.equal(found[:, :2], teachers)


def test_an_image_partner_is_an_embedding_of_that_identity(stored):
    choose = partners(stored)
    student, labels, epochs, indices = batch(range(9))
    identities = choose.identities(student, labels).numpy()
    found = choose.of(student, labels, epochs, indices).numpy()
    for i, k in np.ndindex(9, 3):
        rows = np.flatnonzero(identities[i, k] == LABELS)
        assert any(np.array_equal(found[i, k], stored.embeddings[row, 0]) for row in rows)


def test_a_prototype_partner_is_the_prototype(stored):
    choose = partners(stored, kind="prototype")
    student, labels, epochs, indices = batch([4, 0])
    wanted = mining.prototypes(stored, LABELS)[choose.identities(student, labels)]
    assert torch.equal(choose.of(student, labels, epochs, indices), wanted)


def test_the_draw_depends_on_seed_epoch_and_sample_alone(stored):
    whole = partners(stored).of(*batch(range(9)))
    assert torch.equal(partners(stored).of(*batch([5, 2])), whole[[5, 2]])
    assert not torch.equal(partners(stored).of(*batch(range(9), epoch=1)), whole)
    assert not torch.equal(partners(stored, seed=1).of(*batch(range(9))), whole)


def test_faiss_finds_most_of_what_exact_search_finds():
    pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    centres = torch.randn(60, 16, generator=torch.Generator().manual_seed(2))
    points = unit(
        centres.repeat_interleave(50, 0)
        + 0.3 * torch.randn(3000, 16, generator=torch.Generator().manual_seed(3))
    )
    exact, found = mining.nearest(points, 10).numpy(), approximate.nearest(points, 10).numpy()
    assert found.shape == exact.shape and found.dtype == exact.dtype
    assert (found != np.arange(3000)[:, None]).all()
    assert (
        np.mean([len(np.intersect1d(*rows)) / 10 for rows in zip(found, exact, strict=True)]) > 0.9
    )


def test_gaps_and_the_own_identity_leave_the_found_ones():
    found = np.array([[0, 2, 1], [2, 0, -1], [1, 2, -1]])
    assert approximate._without_self(found, 2).tolist() == [[2, 1], [2, 0], [1, 1]]


def test_without_faiss_the_way_out_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(KitError, match="pip install faiss-cpu"):
        approximate.nearest(unit(torch.randn(9, 4)), 2)


@pytest.mark.parametrize("by", ["student", "both"])
@pytest.mark.parametrize("rows", [1, 4])
def test_the_students_neighbours_are_the_same_in_blocks(stored, monkeypatch, by, rows):
    student, labels, epochs, indices = batch(range(9))
    choose = partners(stored, by=by, count=4)
    whole = choose.identities(student, labels)
    found = choose.of(student, labels, epochs, indices)
    held = []
    largest = blocks.largest

    def watched(values, count):
        held.append(values.shape)
        return largest(values, count)

    monkeypatch.setattr(blocks, "BLOCK_VALUES", rows * 5)  # of five people
    monkeypatch.setattr(blocks, "largest", watched)
    assert torch.equal(choose.identities(student, labels), whole)
    assert held == [(min(rows, 9 - start), 5) for start in range(0, 9, rows)]
    assert torch.equal(choose.of(student, labels, epochs, indices), found)


@pytest.mark.parametrize("kind", ["image", "prototype"])
def test_partners_that_are_read_ahead_are_those_of_the_step(stored, kind):
    choose = partners(stored, kind=kind)
    student, labels, epochs, indices = batch(range(9), epoch=2)
    read = choose.ahead(torch.device("cpu"), epochs, indices)
    assert torch.equal(read(), choose.of(student, labels, epochs, indices))
    for by in ("student", "both"):
        assert partners(stored, kind, by).ahead(torch.device("cpu"), epochs, indices) is None


def test_prototypes_are_kept_beside_the_bank_and_made_again_when_damaged(stored, capsys):
    wanted = mining.prototypes(stored, LABELS)
    for _ in range(2):
        assert torch.equal(mining.stored_prototypes(stored, LABELS), wanted)
    (kept,) = stored.folder.glob("prototypes-*.npy")
    kept.write_bytes(kept.read_bytes()[:-1] + b"!")
    assert torch.equal(mining.stored_prototypes(stored, LABELS), wanted)
    assert capsys.readouterr().err.count("made again") == 1
    other = LABELS[::-1].copy()
    assert not torch.equal(mining.stored_prototypes(stored, other), wanted)
    assert len(list(stored.folder.glob("prototypes-*.npy"))) == 2
