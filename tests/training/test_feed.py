import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from mfr_kit.errors import KitError
from mfr_kit.training.feed import Feeder
from mfr_kit.training.prepare import Relations
from mfr_kit.training.settings import Targets
from mfr_kit.training.teacher import mining
from mfr_kit.training.teacher.bank import Bank
from mfr_kit.training.views.loader import ViewBatch

CPU = torch.device("cpu")
ROWS, LABELS = (
    np.random.default_rng(0).normal(size=(12, 2, 4)).astype(np.float32),
    np.arange(12) % 4,
)


def views(number: int) -> ViewBatch:
    indices = np.arange(number, number + 3)
    images = torch.zeros(3, 112, 112, 3, dtype=torch.uint8)
    return ViewBatch(images, indices, np.full(3, number), indices % 2, indices * 0)


@pytest.fixture
def make_feeder(tmp_path):
    """A feeder of a bank that may be watched, with partners by the teacher's neighbours."""

    def make(bank=None, by="teacher", targets=None):
        bank = bank or Bank(tmp_path, ROWS)
        prototypes = mining.prototypes(bank, LABELS)
        chosen = mining.Partners(bank, LABELS, prototypes, mining.Draw("image", by, 2, 0))
        relations = Relations(bank, LABELS, prototypes, chosen)
        return Feeder(relations, targets or Targets(), CPU)

    return make


def test_batches_come_in_their_order_with_what_the_bank_says(make_feeder):
    feeder = make_feeder()
    given = [views(number) for number in range(7)]
    feeds = list(feeder.ahead(iter(given), 2))
    assert [feed.views for feed in feeds] == given
    for feed, batch in zip(feeds, given, strict=True):
        assert torch.equal(feed.targets(), torch.from_numpy(ROWS[batch.indices, batch.mirrored]))
        assert torch.equal(feed.partners(), feeder.read(batch).partners())
        assert feed.partners().shape == (3, 2, 4)


def test_rows_are_read_on_another_thread_before_they_are_asked_for(make_feeder, tmp_path):
    read, threads = threading.Semaphore(0), set()

    class Watched(Bank):
        def rows(self, indices, mirrored=0):
            threads.add(threading.current_thread())
            read.release()
            return super().rows(indices, mirrored)

    feeder = make_feeder(Watched(tmp_path, ROWS))
    threads.clear()
    while read.acquire(blocking=False):
        pass
    feeds = feeder.ahead(iter([views(number) for number in range(7)]), 1)
    next(feeds)
    for _ in range(4):  # targets and partners of the batch that was given, and of the next one
        assert read.acquire(timeout=10)
    assert threading.current_thread() not in threads
    feeds.close()


def test_nothing_is_read_where_the_student_or_the_live_teacher_decides(make_feeder):
    feed = make_feeder(by="student").read(views(0))
    assert feed.partners is None and feed.targets is not None
    assert make_feeder(targets=Targets("same")).read(views(0)).targets is None
    sums = make_feeder(targets=Targets(form="sum")).read(views(0)).targets()
    torch.testing.assert_close(sums.norm(dim=1), torch.ones(3))


def test_an_error_of_a_loader_process_comes_out_as_it_was_raised(make_feeder):
    def broken():
        yield views(0)
        raise KitError("Caught KitError in DataLoader worker process 0.\nTraceback\na face")

    with pytest.raises(KitError, match="a face"):
        list(make_feeder().ahead(broken(), 1))


def test_an_error_while_rows_are_read_is_raised_where_the_batch_is_asked_for(make_feeder):
    feeder = make_feeder()
    far = replace(views(0), indices=np.array([0, 1, 99]))
    feeds = feeder.ahead(iter([views(0), far]), 1)
    assert isinstance(next(feeds).views, ViewBatch)
    with pytest.raises(IndexError):
        next(feeds)
