"""Batches of student views as functions of (seed, step, rank): the same for any number of
workers, and from any step on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor, multiprocessing
from torch.utils.data import DataLoader, Dataset, Sampler

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.interrupts import serve_parent
from mfr_kit.masks import library
from mfr_kit.seeding import rng_for
from mfr_kit.training.views import view_plan
from mfr_kit.training.views.order import Order, Sequence
from mfr_kit.training.views.view import ViewRecipe, Views


@dataclass(frozen=True)
class ViewBatch:
    """What the loader hands over; everything stays uint8 until the device has it."""

    images: Tensor  # (B, 112, 112, 3) uint8 RGB: views, or with `plans` what they are made from
    indices: np.ndarray  # (B,) rows of the training set
    epochs: np.ndarray  # (B,) passes: over the faces, or over the people
    mirrored: np.ndarray  # (B,) 0 or 1
    masked: np.ndarray  # (B,) 0 or 1
    plans: view_plan.PlanBundle | None = None  # what a ViewRenderer does to the images

    def pin_memory(self) -> "ViewBatch":
        """Let the DataLoader pin what goes to the device, for a copy that overlaps."""
        plans = None if self.plans is None else self.plans.pin_memory()
        return replace(self, images=self.images.pin_memory(), plans=plans)


class BatchPlan(Sampler):
    """Which samples make which batch, from a given batch on; the last, incomplete batch of a pass
    is left out.

    Args:
        order: from `every_face` or `every_person`.
        batch: faces a batch and rank.
        total: batches in all.
        start: first batch wanted.
        rank: (rank, world size); the ranks' batches together are the one-rank batch of the combined
            size.
        by_place: deal a batch out to the ranks in the order of its rows, so that each reads other
            places of the set.
    """

    def __init__(
        self,
        order: Order,
        batch: int,
        total: int,
        *,
        start: int = 0,
        rank: tuple[int, int] = (0, 1),
        by_place: bool = False,
    ):
        shown, self._order = order
        self.per_epoch = shown // (batch * rank[1])
        if self.per_epoch == 0:
            raise KitError(
                f"--batch-size {batch} x {rank[1]} rank(s) is more than the {shown} training "
                "faces or people of a pass"
            )
        self._batch, self._total, self._start, self._rank = batch, total, start, rank
        self._by_place = by_place

    def __len__(self) -> int:
        return self._total - self._start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        rank, world = self._rank
        order: Sequence | None = None
        of_epoch, whole = -1, self._batch * world
        for number in range(self._start, self._total):
            epoch, position = divmod(number, self.per_epoch)
            if epoch != of_epoch:
                order = None  # no two orders of millions are held at once
                order, of_epoch = self._order(epoch), epoch
            assert order is not None  # of the first pass at the latest
            rows = order[position * whole : (position + 1) * whole]
            if self._by_place:
                rows = np.sort(rows)
            own = rows[rank * self._batch : (rank + 1) * self._batch]
            yield [(epoch, int(index)) for index in own]


class StudentViews(Dataset):
    """Views by (epoch, index). The mask library and the transforms are never pickled: forked
    workers share those of `prepare`, spawned ones
    make their own.

    Args:
        faces: clean faces, as files or as records.
        recipe: how views are drawn.
        seed: of the views.
        masks: what `library.load` is given.
        drifts: see `Views`.
        planned: leave the pixels to a `ViewRenderer`: batches carry plans.
    """

    def __init__(
        self,
        faces: FaceSet,
        recipe: ViewRecipe,
        seed: int,
        masks: tuple,
        drifts: np.ndarray | None = None,
        *,
        planned: bool = False,
    ):
        self._faces, self._recipe, self._seed, self._masks, self._drifts = (
            faces,
            recipe,
            seed,
            masks,
            drifts,
        )
        self.planned = planned
        self._views: Views | None = None

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_views": None}

    def prepare(self) -> Views:
        """Load what views are drawn with, unless that has been done."""
        if self._views is None:
            self._views = Views(
                self._recipe,
                library.load(*self._masks).preload() if self._recipe.mask_ratio else None,
                self._drifts,
            )
        return self._views

    def __getitem__(self, key: tuple[int, int]) -> tuple:
        epoch, index = key
        views = self.prepare()
        view = (views.plan if self.planned else views.draw)(
            self._faces.image(index), self._faces.points(index), rng_for(self._seed, epoch, index)
        )
        return view, index, epoch, view.mirrored, view.masked

    def collate(self, samples: list[tuple]) -> ViewBatch:
        """Make a batch of samples."""
        views, *rest = zip(*samples, strict=True)
        images = [view.face if self.planned else view.image for view in views]
        indices, epochs, mirrored, masked = (np.array(values, np.int64) for values in rest)
        plans = view_plan.pack(views, self.prepare().library) if self.planned else None
        faces = torch.from_numpy(np.stack(images))
        return ViewBatch(faces, indices, epochs, mirrored, masked, plans)


def next_batch(views: Iterator[ViewBatch]) -> ViewBatch | None:
    """Take the next batch, None where there is none; an error of ours in a loader process comes
    out as it was raised there, not as torch's report of it.
    """
    try:
        return next(views, None)
    except KitError as error:
        raise KitError(
            str(error)
            .strip()
            .splitlines()[-1]
            .removeprefix(f"{KitError.__module__}.{KitError.__name__}: ")
        ) from None


def batches(dataset: StudentViews, plan: BatchPlan, workers: int, pin: bool = False) -> DataLoader:
    """Return an iterable of `ViewBatch` over the rest of the plan; workers live from its start
    to its end.
    """
    if workers and multiprocessing.get_start_method() == "fork":
        dataset.prepare()  # once, and shared, instead of in every worker
    return DataLoader(
        dataset,
        batch_sampler=plan,
        num_workers=workers,
        collate_fn=dataset.collate,
        worker_init_fn=_begin_worker,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        # of its own, or the loader would draw from the stream that a checkpoint continues
        generator=torch.Generator(),
    )


def _begin_worker(worker: int) -> None:
    serve_parent()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
