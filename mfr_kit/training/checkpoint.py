"""Everything a run needs to continue as if it had never stopped, in one file that is either old
or new, never half.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mfr_kit.errors import KitError
from mfr_kit.models import weights
from mfr_kit.models.input_format import USUAL
from mfr_kit.models.preprocess import input_of_network
from mfr_kit.training.checkpoint_check import mismatch
from mfr_kit.training.scaling import no_scaler
from mfr_kit.training.settings import Course, Division

ADVICE = ". Delete it to start the run again."


@dataclass
class State:
    """What changes while training; `initial` and `average` are state dicts of the student."""

    student: nn.Module
    projector: nn.Module  # nn.Identity where the sizes agree
    head: nn.Module  # nn.Identity where the method has none
    optimiser: torch.optim.Optimizer
    initial: dict[str, Tensor]
    average: dict[str, Tensor] | None  # of the weights, if asked for
    scaler: torch.amp.GradScaler = field(default_factory=no_scaler)  # of the loss, with fp16
    step: int = 0
    best: float = -1.0

    def result(self) -> dict[str, Tensor]:
        """Return the weights that are validated and kept."""
        return self.student.state_dict() if self.average is None else self.average


def content_of(
    state: State, division: Division, joined: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Compose what last.pt holds, with how the batches were divided that led to it; `joined` are
    parts in place of the state's own.
    """
    joined = joined or {}
    content = {
        name: joined[name] if name in joined else getattr(state, name).state_dict()
        for name in ("student", "projector", "head", "optimiser", "scaler")
    }
    content |= {name: getattr(state, name) for name in ("initial", "average", "step", "best")}
    content |= {"world_size": division.world, "batch_size": division.batch_size}
    content["torch_rng"] = torch.get_rng_state()
    form = input_of_network(state.student)
    return content if form.text == USUAL else content | {weights.FORMAT: form.text}


def save(folder: Path, content: dict[str, Any]) -> None:
    """Write last.pt."""
    weights.save(folder / weights.LAST, content)


def restore(
    folder: Path,
    state: State,
    course: Course,
    cut: Callable[[Any, State, Path], Any] = lambda content, *_: content,
    *,
    echo: bool = True,
) -> bool:
    """Bring `state` to what last.pt says; False when there is none yet (stopped before the first
    checkpoint).

    Args:
        folder: of the run.
        state: of the run as it begins; it is changed as a whole or not at all.
        course: of the run, whose batches may be divided among other ranks than before.
        cut: takes out of what the file and the folder hold what this rank holds of `state`.
        echo: False for all but one of several processes, which says that they are.
    Raises:
        KitError: unreadable, of other networks or another optimiser than `state` holds, or of
            batches of another size.
    """
    path = folder / weights.LAST
    if not path.is_file():
        return False
    content: dict[str, Any] = cut(weights.read_file(path, ADVICE), state, folder)
    for name in ("student", "projector", "head"):
        own = content.get(name) if isinstance(content, dict) else None
        if isinstance(own, dict) and all(isinstance(value, Tensor) for value in own.values()):
            try:
                weights.refuse_misfit(getattr(state, name), own, f"{path} ({name})")
            except KitError as error:
                raise KitError(f"{str(error).removesuffix('.')}{ADVICE}") from None
    found = mismatch(content, state, course.total)
    if found:
        raise KitError(f"{path} is no checkpoint of this run: {found}{ADVICE}")
    began, own = Division(content["world_size"], content["batch_size"]), course.division
    _refuse_other_size(began, own, path)
    if echo and began != own:
        print(
            f"note: before {began}, {own} from here on: the same faces a step and the same "
            f"schedule; batch norms that move see {own.batch_size} faces, unless --sync-norms"
        )
    before = torch.get_rng_state()
    try:
        torch.set_rng_state(content["torch_rng"])
    except RuntimeError:
        torch.set_rng_state(before)
        raise KitError(f"{path} is damaged: 'torch_rng' is no state of torch{ADVICE}") from None
    for name in ("student", "projector", "head"):
        getattr(state, name).load_state_dict(content[name])
    state.optimiser.load_state_dict(content["optimiser"])
    state.scaler.load_state_dict(content["scaler"])
    state.step, state.best = content["step"], content["best"]
    device = next(state.student.parameters()).device
    state.initial = {key: value.to(device) for key, value in content["initial"].items()}
    if content["average"] is not None:
        state.average = {key: value.to(device) for key, value in content["average"].items()}
    return True


def _refuse_other_size(began: Division, own: Division, path: Path) -> None:
    """Refuse batches of another size: which faces a step sees follows from it.

    Raises:
        KitError: says what would do.
    """
    if began.faces == own.faces:
        return
    size, rest = divmod(began.faces, own.world)
    advice = (
        f"give --batch-size {size}"
        if not rest
        else f"start a number of ranks that divides {began.faces}"
    )
    raise KitError(
        f"{path} is of {began}, {began.faces} together, and {own} are {own.faces}: {advice}"
    )
