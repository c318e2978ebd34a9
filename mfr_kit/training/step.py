"""One optimiser step: views in, weights moved, figures out."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.losses._batch import Batch
from mfr_kit.losses._sharded_head import ShardedHead
from mfr_kit.models.embedders import Embedder
from mfr_kit.models.input_format import InputFormat
from mfr_kit.models.placement import send
from mfr_kit.models.preprocess import input_of_network, to_tensor
from mfr_kit.training import head_shards, optimise
from mfr_kit.training.checkpoint import State
from mfr_kit.training.feed import Feed, Feeder
from mfr_kit.training.method import Method
from mfr_kit.training.prepare import Relations
from mfr_kit.training.ranks import Ranks
from mfr_kit.training.scaling import autocast, refuse_endless
from mfr_kit.training.settings import Numerics, Regularisation, Targets
from mfr_kit.training.views.loader import ViewBatch
from mfr_kit.training.views.view_renderer import ViewRenderer


@dataclass(frozen=True)
class Stepper:
    """Everything a step looks at and does not change; `State` is what it changes."""

    # student, then projector; wrapped for several ranks or compiled
    network: Callable[[Tensor], Tensor]
    method: Method
    relations: Relations
    teacher: Embedder | None  # only where it sees the student's views
    faces: FaceSet  # names samples in messages
    ranks: Ranks
    device: torch.device
    numerics: Numerics
    targets: Targets
    regularisation: Regularisation
    renderer: ViewRenderer | None = None  # of views that come as plans

    @property
    def feeder(self) -> Feeder:
        """What reads the batches of its steps."""
        return Feeder(self.relations, self.targets, self.device)

    def step(self, state: State, feeds: list[Feed], measured: bool) -> dict[str, float | dict]:
        """Do one step on a few batches, whose gradients are averaged.

        Args:
            state: moved in place.
            feeds: the batches of this rank.
            measured: also compute the ratios of gradient norms to FCD's.
        Returns:
            The loss, its terms and figures, of the batches of all ranks; empty unless `measured`.
        Raises:
            KitError: the loss of this rank is not finite; names the samples.
        """
        if self.regularisation.frozen_norms:
            optimise.train_with_frozen_norms(state.student)
        else:
            state.student.train()
        state.optimiser.zero_grad(set_to_none=True)
        if isinstance(state.head, ShardedHead):
            state.head.begin(state.step)
        head = None if isinstance(state.head, nn.Identity) else state.head
        line: dict[str, float | dict] = {}
        form = input_of_network(state.student)
        for number, part in enumerate(feeds, start=1):
            with self._exchange(number == len(feeds)):
                batch, indices = self._batch(part, form)
                losses, figures = self.method.terms(batch, head)
                loss = cast(Tensor, sum(losses.values()))
                if not torch.isfinite(loss):
                    raise KitError(self._blame(state.step, batch.student, indices))
                if measured:
                    line = self._measure(loss, losses, figures, batch.student)
                state.scaler.scale(loss / len(feeds)).backward()
        if isinstance(state.head, ShardedHead):
            state.head.average_gradient()
        else:
            self.ranks.mean_gradients(state.head.parameters())
        norm = self._update(state)
        return {**line, **_figures_of(norm, state)} if measured else {}

    def _exchange(self, is_last: bool) -> AbstractContextManager:
        """Let the ranks exchange gradients with the last batch of a step only."""
        if is_last or not isinstance(self.network, nn.parallel.DistributedDataParallel):
            return nullcontext()
        return self.network.no_sync()

    def _measure(
        self, loss: Tensor, terms: dict[str, Tensor], figures: dict[str, float], student: Tensor
    ) -> dict[str, float | dict]:
        """Say what is logged of the batches of all ranks, which are asked in one exchange."""
        squares = _gradient_squares(terms, student)
        mine = [loss, *terms.values(), *squares.values()]
        mine += [student.new_tensor(figure) for figure in figures.values()]
        means = iter(self.ranks.mean(torch.stack([value.detach() for value in mine])).tolist())
        line: dict[str, float | dict] = {"loss": next(means)}
        line["terms"] = {name: next(means) for name in terms}
        norms = {name: next(means) ** 0.5 for name in squares}
        line |= {name: next(means) for name in figures}
        if norms:
            floor = max(norms.pop("fcd"), 1e-12)
            line["ratio_to_fcd"] = {name: norm / floor for name, norm in norms.items()}
        return line

    def _batch(self, feed: Feed, form: InputFormat) -> tuple[Batch, np.ndarray]:
        """Make what the loss is computed of, and say which rows of the set it shows."""
        views = feed.views
        images = self._images(views)
        pixels = to_tensor(images, form)
        if self.numerics.channels_last:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        with autocast(self.device, self.numerics.precision):
            student = self.network(pixels)
        student = student.float()
        own = self.relations.labels[views.indices].astype(np.int64)
        labels = send(torch.from_numpy(own), self.device)
        batch = Batch(
            student,
            self._targets(feed, images, student),
            labels,
            self.relations.prototypes,
            self._partners(feed, student, labels),
            self.ranks.mean,
            self.relations.shard,
        )
        if not self.method.gathers:
            return batch, views.indices
        rows = torch.from_numpy(views.indices)
        return self.ranks.join_batch(batch), self.ranks.gather(rows).numpy()

    def _images(self, views: ViewBatch) -> Tensor:
        """(B, 112, 112, 3) uint8 views on the device."""
        if views.plans is None:
            return views.images.to(self.device, non_blocking=True)
        assert self.renderer is not None  # then the loader makes plans
        return self.renderer.render(views.images, views.plans)

    def _targets(self, feed: Feed, images: Tensor, student: Tensor) -> Tensor:
        if feed.targets is not None:
            return feed.targets()
        if self.relations.bank is None:  # the method goes by labels alone
            return torch.zeros_like(student)
        assert self.teacher is not None  # it is kept where it sees the student's views
        return torch.from_numpy(self.teacher.embed(images.cpu().numpy())).to(self.device)

    def _partners(self, feed: Feed, student: Tensor, labels: Tensor) -> Tensor | None:
        if feed.partners is not None:
            return feed.partners()
        partners, views = self.relations.partners, feed.views
        if partners is None:
            return None
        return partners.of(student, labels, views.epochs, views.indices)

    def _update(self, state: State) -> Tensor:
        rules = self.regularisation
        with head_shards.dense_gradients(state):
            head_shards.share_overflow(state)
            state.scaler.unscale_(state.optimiser)
            if rules.l2_sp:
                optimise.pull_towards(state.student, state.initial, rules.l2_sp)
            norm = head_shards.clip(state, rules.clip)
            state.scaler.step(state.optimiser)
        state.scaler.update()
        if state.average is not None:
            state.average = optimise.interpolate(
                state.average, state.student.state_dict(), 1 - rules.ema
            )
        return norm

    def _blame(self, step: int, student: Tensor, indices: np.ndarray) -> str:
        broken = (~torch.isfinite(student.detach()).all(dim=1)).cpu().numpy()
        what = "embeddings" if broken.any() else "loss, with finite embeddings"
        chosen = indices[broken] if broken.any() else indices
        keys = ", ".join(str(self.faces.keys[i]) for i in chosen[:8]) + (
            " ..." if len(chosen) > 8 else ""
        )
        wider = ", or use --precision float32" if self.numerics.precision == "fp16" else ""
        return (
            f"non-finite {what} at step {step}: {keys}. Look at these faces, or lower "
            f"--learning-rate{wider}; the last checkpoint is intact"
        )


def _figures_of(norm: Tensor, state: State) -> dict[str, float]:
    figures = {"grad_norm": norm.item()}
    if not state.scaler.is_enabled():
        return figures
    refuse_endless(state.scaler, state.step)
    if not math.isfinite(figures["grad_norm"]):  # a step that was left out
        del figures["grad_norm"]
    return {**figures, "loss_scale": state.scaler.get_scale()}


def _gradient_squares(losses: dict[str, Tensor], student: Tensor) -> dict[str, Tensor]:
    """Square the norm of what each term beside FCD, and FCD, ask of the embeddings; nothing where
    FCD stands alone or is not there.
    """
    if "fcd" not in losses or len(losses) == 1:
        return {}
    return {
        name: torch.autograd.grad(value, student, retain_graph=True)[0].square().sum()
        for name, value in losses.items()
    }
