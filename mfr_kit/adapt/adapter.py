"""The adapter: a small network on a frozen recogniser's embeddings that moves those of masked
faces to where the bare ones lie.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from mfr_kit.errors import KitError
from mfr_kit.losses.fcd import feature_consistency_loss
from mfr_kit.losses.srt import self_restrained_triplet_loss
from mfr_kit.progress import Progress
from mfr_kit.seeding import rng_for
from mfr_kit.training import optimise
from mfr_kit.training.teacher.bank import Bank
from mfr_kit.training.validation import Result

SLOPE = 0.2  # of the leaky ReLUs, as in the authors' embedding unmasking model
WARMUP = 0.05
ORDER_STREAM, INIT_STREAM = 2, 3


class Adapter(nn.Module):
    """x + spread * MLP((x - centre) / spread): three layers whose last one starts at zero, so that
    it starts as the identity.

    Source: after the embedding unmasking model of Boutros et al. (arXiv 2103.01716), four layers
        with batch norms; here with a way
    around them, and the input standardised by the training faces once instead of by each batch.

    Args:
        size: D of the embeddings.
        hidden: width of the two hidden layers.
        centre, spread: mean and standard deviation of the training embeddings, (D,); the identity's
            if left out.
    """

    centre: Tensor
    spread: Tensor

    def __init__(
        self, size: int, hidden: int, centre: Tensor | None = None, spread: Tensor | None = None
    ):
        super().__init__()
        self.register_buffer("centre", torch.zeros(size) if centre is None else centre)
        self.register_buffer("spread", torch.ones(size) if spread is None else spread)
        self.layers = nn.ModuleList(
            [nn.Linear(size, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, size)]
        )
        last = cast(nn.Linear, self.layers[-1])
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, D) embeddings of any norm -> (B, D) of about the same."""
        first, second, last = self.layers
        values = nn.functional.leaky_relu(first((embeddings - self.centre) / self.spread), SLOPE)
        return embeddings + self.spread * last(nn.functional.leaky_relu(second(values), SLOPE))

    def folded(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The three layers as float64 (outputs, inputs) matrices and biases, with centre and
        spread in the first and the last.
        """
        (first, bias), middle, (last, shift) = (
            (layer.weight.detach().double(), layer.bias.detach().double())
            for layer in cast(Iterable[nn.Linear], self.layers)
        )
        centre, spread = self.centre.double(), self.spread.double()
        first = first / spread
        folded = [(first, bias - first @ centre), middle, (spread[:, None] * last, spread * shift)]
        return [(weight.numpy(), bias.numpy()) for weight, bias in folded]


@dataclass(frozen=True)
class Stored:
    """A training set as the recogniser sees it: bare faces, the same faces masked once a view,
    who they are (0 .. C-1).
    """

    clean: Bank
    masked: list[Bank]
    labels: np.ndarray

    def __len__(self) -> int:
        return 2 * len(self.masked) * len(self.labels)

    def batch(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Gather (B, D) masked embeddings, (B, D) of the same faces bare in the same mirror
        state, and (B,) labels, by row numbers.
        """
        pass_, rows = np.divmod(rows, 2 * len(self.labels))
        faces, mirrored = np.divmod(rows, 2)
        masked = np.empty((len(rows), self.clean.embeddings.shape[2]), np.float32)
        for number, bank in enumerate(self.masked):
            masked[pass_ == number] = bank.rows(faces[pass_ == number], mirrored[pass_ == number])
        return (
            torch.from_numpy(masked),
            torch.from_numpy(self.clean.rows(faces, mirrored)),
            torch.from_numpy(self.labels[faces]),
        )


@dataclass(frozen=True)
class Objective:
    """What an adapter is trained for: `method` "fcd", "srt" or "both", the weight and the margin
    of the self-restrained triplet, and the weight of leaving bare faces where they are.
    """

    method: str = "both"
    srt_weight: float = 1.0
    srt_margin: float = 2.0
    clean_weight: float = 1.0


@dataclass(frozen=True)
class Schedule:
    """How long an adapter is trained, and how fast: AdamW under a cosine after a warm-up."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int


class Trained(NamedTuple):
    """The adapter of the best epoch (without validation of the last; 0 is the identity), and a
    line of figures an epoch.
    """

    adapter: Adapter
    epoch: int
    lines: list[dict]


def make(stored: Stored, hidden: int, seed: int, block: int = 8192) -> Adapter:
    """Make the adapter that changes nothing yet, standardised by the bare faces of the training
    set.

    Args:
        stored: of the training faces.
        hidden: width of its hidden layers.
        seed: of their first weights.
        block: faces read at a time.
    """
    count, size = len(stored.labels), stored.clean.embeddings.shape[2]
    sums = np.zeros((2, size))
    for start in range(0, count, block):
        rows = stored.clean.rows(np.arange(start, min(start + block, count))).astype(np.float64)
        sums += rows.sum(axis=0), np.square(rows).sum(axis=0)
    mean, square = sums / count
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    spread = np.maximum(spread, 1e-3 * spread.max())  # an output that never changes
    torch.manual_seed(int(rng_for(seed, INIT_STREAM).integers(1 << 62)))
    return Adapter(size, hidden, torch.from_numpy(mean).float(), torch.from_numpy(spread).float())


def train(
    adapter: Adapter,
    stored: Stored,
    objective: Objective,
    schedule: Schedule,
    validate: Callable[[nn.Module], Result] | None,
    tell: Callable[[str], None],
) -> Trained:
    """Train an adapter, from `make`, on stored embeddings.

    Args:
        adapter: it is trained itself.
        stored: of the training faces.
        objective: the terms of the loss.
        schedule: epochs, batches and rates.
        validate: measures an adapter; its best epoch is kept, and the identity if no epoch beats
            it.
        tell: takes a line for the screen after each epoch.
    Raises:
        KitError: fewer views than a batch, or a loss that is not finite.
    """
    optimiser = torch.optim.AdamW(
        adapter.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    steps = len(stored) // schedule.batch_size
    if steps == 0:
        raise KitError(
            f"--batch-size {schedule.batch_size} is more than the {len(stored)} stored embeddings"
        )
    best, kept, lines = -1.0, 0, []
    with Progress(schedule.epochs, "adapt", "epochs") as progress:
        for epoch in range(schedule.epochs + 1):
            line: dict[str, Any] = {"epoch": epoch}
            if epoch:
                line |= _epoch(adapter, stored, objective, schedule, optimiser, epoch - 1)
            if validate is not None:
                result = validate(adapter)
                figures = ("masked", "clean", "far", "score")
                line["validation"] = {name: getattr(result, name) for name in figures}
            if validate is None or result.score > best:
                best, kept = (result.score if validate is not None else best), epoch
                state = {key: value.clone() for key, value in adapter.state_dict().items()}
            lines.append(line)
            progress.move_to(epoch)
            progress.say(_as_text(line), tell)
    adapter.load_state_dict(state)
    return Trained(adapter, kept, lines)


def _epoch(
    adapter: Adapter,
    stored: Stored,
    objective: Objective,
    schedule: Schedule,
    optimiser: torch.optim.Optimizer,
    epoch: int,
) -> dict:
    """Take one pass over the stored views; returns the means of the loss's terms."""
    steps = len(stored) // schedule.batch_size
    sums: dict[str, float] = {}
    for number, rows in enumerate(_batches(schedule, len(stored), epoch)):
        rate = schedule.learning_rate * optimise.schedule(
            "cosine", epoch * steps + number, schedule.epochs * steps, WARMUP
        )
        for group in optimiser.param_groups:
            group["lr"] = rate
        terms = _terms(objective, adapter, *stored.batch(rows))
        loss = cast(Tensor, sum(terms.values()))
        if not torch.isfinite(loss):
            raise KitError(f"the loss is not finite in epoch {epoch + 1}: lower --learning-rate")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + value.item()
    return {"terms": {name: total / steps for name, total in sums.items()}}


def _batches(schedule: Schedule, count: int, epoch: int) -> Iterator[np.ndarray]:
    steps = count // schedule.batch_size
    order = rng_for(schedule.seed, epoch, ORDER_STREAM).permutation(count)
    return iter(order[: steps * schedule.batch_size].reshape(steps, -1))


def _terms(
    objective: Objective, adapter: Adapter, masked: Tensor, clean: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    moved, terms = adapter(masked), {}
    if objective.method != "srt":
        terms["fcd"] = feature_consistency_loss(moved, clean)
    if objective.method != "fcd":
        terms["srt"] = objective.srt_weight * self_restrained_triplet_loss(
            moved, clean, labels, objective.srt_margin
        )
    if objective.clean_weight:
        terms["clean"] = objective.clean_weight * feature_consistency_loss(adapter(clean), clean)
    return terms


def _as_text(line: dict) -> str:
    parts = [f"{name} {value:.4f}" for name, value in line.get("terms", {}).items()]
    if found := line.get("validation"):
        parts.append(
            f"masked {found['masked']:.4f}, clean {found['clean']:.4f} at FAR {found['far']:g}, "
            f"score {found['score']:.4f}"
        )
    return f"epoch {line['epoch']}: {', '.join(parts) or 'the recogniser as it is'}"
