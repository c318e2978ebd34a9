import itertools

import numpy as np
import pytest

from mfr_kit.seeding import rng_for
from mfr_kit.training.views import order
from mfr_kit.training.views.loader import BatchPlan
from mfr_kit.training.views.order import BlockOrder, every_face, every_person

LABELS = np.repeat(np.arange(40), np.arange(40) % 7 + 1)


@pytest.fixture(autouse=True)
def small_window(monkeypatch):
    monkeypatch.setattr(order, "WINDOW", 4)


def test_a_shuffle_of_faces_is_the_permutation_of_its_key():
    _, rows_of = every_face(1000, 3)
    assert np.array_equal(rows_of(2), rng_for(3, 2, order.ORDER_STREAM).permutation(1000))
    assert rows_of(2).dtype == np.int32


def test_people_take_turns_whatever_the_type_and_the_order_of_their_rows():
    shown, rows_of = every_person(LABELS, 5)
    mixed = rng_for(0).permutation(len(LABELS))
    _, mixed_rows_of = every_person(LABELS[mixed], 5)
    _, small_rows_of = every_person(LABELS.astype(np.int32), 5)
    for epoch in range(8):
        rows = rows_of(epoch)[:shown]
        assert np.array_equal(np.sort(LABELS[rows]), np.arange(40))
        assert np.array_equal(rows, small_rows_of(epoch)[:shown])
        assert np.array_equal(LABELS[rows], LABELS[mixed][mixed_rows_of(epoch)[:shown]])
        # the slow way
        counts = np.bincount(LABELS)
        first = rng_for(5, order.TURN_STREAM).integers(counts)
        people = rng_for(5, epoch, order.ORDER_STREAM).permutation(40)
        starts = np.cumsum(counts) - counts
        assert rows.tolist() == [
            starts[who] + (first[who] + epoch) % counts[who] for who in people.tolist()
        ]


@pytest.mark.parametrize(("count", "block"), [(100, 7), (96, 8), (5, 16), (1, 1), (331, 1)])
def test_every_row_comes_once_a_pass_of_blocks_and_passes_differ(count, block):
    passes = [BlockOrder(count, 9, epoch, block)[:count].tolist() for epoch in range(3)]
    assert all(sorted(rows) == list(range(count)) for rows in passes)
    assert count < 6 or len(set(map(tuple, passes))) == 3
    assert passes[1] == BlockOrder(count, 9, 1, block)[:count].tolist()
    assert count < 6 or passes[1] != BlockOrder(count, 8, 1, block)[:count].tolist()


def test_any_part_of_a_pass_is_what_the_whole_has_there():
    whole = BlockOrder(100, 1, 0, 7)[:100]
    for start, stop in itertools.combinations(range(0, 101, 3), 2):
        assert np.array_equal(BlockOrder(100, 1, 0, 7)[start:stop], whole[start:stop])


def test_neighbours_are_shown_within_a_window_and_a_window_is_few_places():
    count, block = 1000, 10
    rows = BlockOrder(count, 0, 0, block)[:count]
    at = np.empty(count, int)
    at[rows] = np.arange(count)
    near = np.abs(np.diff(at)) < 4 * block
    assert near.mean() > 0.85  # of a whole shuffle 8 % are
    places = [len(np.unique((part + 1000) // block)) for part in rows.reshape(-1, 40)]
    assert max(places) <= 8  # four blocks, which need not begin at multiples of ten
    assert len({tuple(np.sort(part)) for part in rows.reshape(-1, 40)}) == 25
    # blocks are cut elsewhere in each pass: a face has other neighbours
    others = BlockOrder(count, 0, 1, block)
    assert others._shift % block != BlockOrder(count, 0, 0, block)._shift % block


@pytest.mark.parametrize("sampling", ["faces", "identities"])
@pytest.mark.parametrize("world", [2, 4])
def test_any_number_of_ranks_has_the_batches_of_one_and_no_face_twice(sampling, world):
    def made():
        return every_face(len(LABELS), 2, 5) if sampling == "faces" else every_person(LABELS, 2, 5)

    alone = list(BatchPlan(made(), 8, 9, by_place=True))
    parts = [
        list(BatchPlan(made(), 8 // world, 9, rank=(rank, world), by_place=True))
        for rank in range(world)
    ]
    joined = [[*itertools.chain(*batch)] for batch in zip(*parts, strict=True)]
    assert joined == alone
    for batch in alone:
        assert len(set(batch)) == 8
    shown = [row for batch in alone[: made()[0] // 8] for _, row in batch]
    assert len(shown) == len(set(shown))
    later = list(BatchPlan(made(), 8, 9, start=6, by_place=True))
    assert later == alone[6:]


def test_ranks_read_different_places_of_a_batch():
    parts = [
        next(iter(BatchPlan(every_face(4000, 0, 50), 25, 1, rank=(rank, 4), by_place=True)))
        for rank in range(4)
    ]
    ends = [(min(rows), max(rows)) for rows in parts]
    assert all(one[1] < other[0] for one, other in itertools.pairwise(ends))
