"""What comes out of a run: lines of its journal, the best weights so far, and student.pt."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from mfr_kit.errors import KitError
from mfr_kit.models import weights
from mfr_kit.models.preprocess import input_of_network
from mfr_kit.training import optimise
from mfr_kit.training.checkpoint import State
from mfr_kit.training.journal import Journal
from mfr_kit.training.ranks import ALONE, Ranks
from mfr_kit.training.validation import Validation


@dataclass(frozen=True)
class Outcome:
    """Where a run's weights and figures go.

    student.pt goes `weight_share` of the way from the initial weights to the best ones, or, without
    validation, to the last.
    """

    folder: Path
    journal: Journal
    validation: Validation | None
    weight_share: float
    ranks: Ranks = ALONE

    def log(self, state: State, figures: dict, rate: float, per_epoch: float) -> None:
        """Write the figures of a step."""
        speed, left_s = self.journal.speed(), self.journal.left_s
        line = {
            "step": state.step,
            "epoch": round(state.step / per_epoch, 4),
            **figures,
            "learning_rate": rate,
            "images_per_s": round(speed.images_per_s, 1),
            "steps_per_s": round(speed.steps_per_s, 3),
            "waits_for_loader": round(speed.waiting, 3),
            "steps": self.journal.total,
            "left_s": None if left_s is None else round(left_s, 1),
        }
        shown = {"loss": figures["loss"], **figures["terms"], "img/s": speed.images_per_s}
        self.journal.write(line, {**shown, "waits": speed.waiting})

    def validate(self, state: State) -> None:
        """Measure the weights as they are, where there is a validation, all ranks together; the
        first keeps them as best.pt if none were better, and renews the page of curves.
        """
        if self.validation is None:
            self.journal.draw()
            return
        self.ranks.share_buffers(state.student, state.result())
        with _wearing(state.student, state.result()) as student:
            result = self.validation.measure_together(student, self.ranks)
        if result is None:
            return
        better = result.score > state.best
        if better:
            state.best = result.score
            self._save(weights.BEST, state.result(), state)
        about = self.validation.about
        self.journal.write(
            {"step": state.step, "validation": {**asdict(result), "score": result.score, **about}},
            {"score": result.score},
        )
        self.journal.say(
            f"step {state.step}: masked {result.masked:.4f}, clean {result.clean:.4f} at FAR "
            f"{result.far:g}, score {result.score:.4f}"
            f"{' (best)' if better else ''}; {about['set']}, {about['people']} people, masks "
            f"{about['masks']}"
        )
        self.journal.draw()
        self.journal.speed()  # what validation took is not the steps' time

    def finish(self, state: State) -> None:
        """Write student.pt.

        Raises:
            KitError: the weights are not finite.
        """
        chosen = self.folder / weights.BEST if self.validation is not None else None
        end = weights.read_state(chosen) if chosen else state.result()
        device = next(iter(end.values())).device
        start = {key: value.to(device) for key, value in state.initial.items()}
        share = self.weight_share
        final = end if share == 1 else optimise.interpolate(start, end, share)
        if not all(
            torch.isfinite(value).all() for value in final.values() if value.is_floating_point()
        ):
            raise KitError(f"the weights of {self.folder} are not finite: lower --learning-rate")
        self._save(weights.STUDENT, final, state)
        if self.validation is not None and share < 1:
            with _wearing(state.student, final) as student:
                result = self.validation.measure(student)
            figures = {**asdict(result), "score": result.score, "weight_share": share}
            self.journal.write({"step": state.step, "kept": figures}, {})
            print(
                f"kept {share:g} of the way: masked {result.masked:.4f}, clean "
                f"{result.clean:.4f}, score {result.score:.4f}"
            )

    def _save(self, name: str, chosen: dict[str, Tensor], state: State) -> None:
        projector, form = _matrix(state.projector), input_of_network(state.student)
        weights.save_student(self.folder / name, chosen, projector, form)


@contextlib.contextmanager
def _wearing(student: nn.Module, candidate: dict[str, Tensor]) -> Iterator[nn.Module]:
    """Lend a student some weights, to be measured, and give it its own back."""
    own = {key: value.clone() for key, value in student.state_dict().items()}
    student.load_state_dict(candidate)
    yield student.eval()
    student.load_state_dict(own)


def _matrix(projector: nn.Module) -> Tensor | None:
    if isinstance(projector, nn.Identity):
        return None
    return cast(nn.Linear, projector).weight.detach().cpu().clone()
