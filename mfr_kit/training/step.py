"""One optimiser step: views in, weights moved, figures out."""

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
from mfr_kit.models.embedders import Embedder
from mfr_kit.models.placement import send
from mfr_kit.models.preprocess import to_tensor
from mfr_kit.training import optimise
from mfr_kit.training.checkpoint import State
from mfr_kit.training.method import Method
from mfr_kit.training.prepare import Relations
from mfr_kit.training.ranks import Ranks
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

    def step(self, state: State, views: list[ViewBatch], measured: bool) -> dict[str, float | dict]:
        """Do one step on a few batches, whose gradients are averaged.

        Args:
            state: moved in place.
            views: the batches of this rank.
            measured: also compute the ratios of gradient norms to FCD's.
        Returns:
            The loss, its terms and figures; empty unless `measured`.
        Raises:
            KitError: the loss is not finite; names the samples.
        """
        if self.regularisation.frozen_norms:
            optimise.train_with_frozen_norms(state.student)
        else:
            state.student.train()
        state.optimiser.zero_grad(set_to_none=True)
        head = None if isinstance(state.head, nn.Identity) else state.head
        line: dict[str, float | dict] = {}
        for number, part in enumerate(views, start=1):
            with self._exchange(number == len(views)):
                batch, numbers = self._batch(part)
                losses, figures = self.method.terms(batch, head)
                loss = cast(Tensor, sum(losses.values()))
                if not torch.isfinite(loss):
                    raise KitError(self._blame(state.step, batch.student, numbers[:, 0]))
                if measured:
                    values = {name: value.item() for name, value in losses.items()}
                    line = {
                        "loss": loss.item(),
                        "terms": values,
                        **figures,
                        **_ratios(losses, batch.student),
                    }
                (loss / len(views)).backward()
        norm = self._update(state)
        return {**line, "grad_norm": norm.item()} if measured else {}

    def _exchange(self, is_last: bool) -> AbstractContextManager:
        """Let the ranks exchange gradients with the last batch of a step only."""
        if is_last or not isinstance(self.network, nn.parallel.DistributedDataParallel):
            return nullcontext()
        return self.network.no_sync()

    def _batch(self, views: ViewBatch) -> tuple[Batch, np.ndarray]:
        images = self._images(views)
        pixels = to_tensor(images)
        if self.numerics.channels_last:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        low = self.numerics.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            student = self.network(pixels)
        student = self.ranks.gather(student.float())
        numbers = self.ranks.gather_numbers(
            np.stack([views.indices, views.epochs, views.mirrored], axis=1)
        )
        indices, epochs, mirrored = numbers.T
        labels = send(torch.from_numpy(self.relations.labels[indices]), self.device)
        partners = self.relations.partners
        return Batch(
            student,
            torch.zeros_like(student)
            if self.relations.bank is None
            else self._targets(images, indices, mirrored),
            labels,
            self.relations.prototypes,
            None if partners is None else partners.of(student, labels, epochs, indices),
        ), numbers

    def _images(self, views: ViewBatch) -> Tensor:
        """(B, 112, 112, 3) uint8 views on the device."""
        if views.plans is None:
            return views.images.to(self.device, non_blocking=True)
        assert self.renderer is not None  # then the loader makes plans
        return self.renderer.render(views.images, views.plans)

    def _targets(self, images: Tensor, indices: np.ndarray, mirrored: np.ndarray) -> Tensor:
        if self.targets.view == "same":
            assert self.teacher is not None  # then it is kept
            targets = torch.from_numpy(self.teacher.embed(images.cpu().numpy()))
            return self.ranks.gather(targets.to(self.device))
        bank = self.relations.bank
        assert bank is not None  # made for this view
        if self.targets.form == "sum":
            return bank.lookup_sums(self.device, indices)
        return bank.lookup(self.device, indices, mirrored)

    def _update(self, state: State) -> Tensor:
        parameters = [p for group in state.optimiser.param_groups for p in group["params"]]
        rules = self.regularisation
        if rules.l2_sp:
            optimise.pull_towards(state.student, state.initial, rules.l2_sp)
        norm = torch.nn.utils.clip_grad_norm_(parameters, rules.clip or float("inf"))
        state.optimiser.step()
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
        return (
            f"non-finite {what} at step {step}: {keys}. Look at these faces, or lower "
            "--learning-rate; the last checkpoint is intact"
        )


def _ratios(losses: dict[str, Tensor], student: Tensor) -> dict[str, dict[str, float]]:
    """Compare what each term asks of the embeddings with what FCD asks: ratios of gradient
    norms.
    """
    if "fcd" not in losses or len(losses) == 1:
        return {}
    norms = {
        name: torch.autograd.grad(value, student, retain_graph=True)[0].norm()
        for name, value in losses.items()
    }
    floor = norms["fcd"].clamp_min(1e-12)
    return {
        "ratio_to_fcd": {
            name: (norm / floor).item() for name, norm in norms.items() if name != "fcd"
        }
    }
