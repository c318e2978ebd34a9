"""A few training steps of every method on made-up faces, by one rank or as one of several: what
tests/training/test_same_on_any_ranks.py starts.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from mfr_kit import registry
from mfr_kit.training import head_shards, networks
from mfr_kit.training.checkpoint import State
from mfr_kit.training.method import METHODS, Method
from mfr_kit.training.prepare import Relations
from mfr_kit.training.ranks import Ranks
from mfr_kit.training.settings import (
    Descent,
    HeadSpec,
    Layers,
    Numerics,
    Regularisation,
    Targets,
    Wrapping,
)
from mfr_kit.training.step import Stepper
from mfr_kit.training.teacher import mining
from mfr_kit.training.teacher.bank import Bank
from mfr_kit.training.views.loader import BatchPlan, ViewBatch
from mfr_kit.training.views.order import every_face

PEOPLE, SHOTS, SIZE, BATCH, STEPS = 12, 4, 16, 16, 4
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """A method with options of its own, and what a run may be told beside."""

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    accumulate: int = 1
    narrow: bool = False  # a student smaller than its teacher, with a projector
    precision: str = "float32"
    scale: float | None = None  # of the loss, to begin with
    negatives: float | None = None  # of a head that the ranks share
    optimiser: str = "sgd"


CASES = {name: Case(name) for name in registry.names(METHODS)} | {
    "all relations": Case("coupleface", {"rad_normalise": "all", "alpha_pos": 0.5}),
    "own prototypes": Case("coupleface", {"alpha_pos": 0.5, "partners": "prototype"}),
    "the student's neighbours": Case("coupleface", {"mining": "student"}),
    "both sides' neighbours": Case("coupleface", {"mining": "both", "tolerance": 0.0}),
    "coupleface with a head": Case("coupleface", {"beta": 0.1, "beta_head": "adaface"}),
    "few relations": Case("coupleface", {"tolerance": 0.3}),
    "arcface alone": Case("arcface", {"fcd_weight": 0.0}),
    "two batches a step": Case("coupleface", accumulate=2),
    "two batches that are compared": Case("sp", accumulate=2),
    "a head and two batches": Case("adaface", accumulate=2),
    "a sharded head": Case("arcface", negatives=1.0),
    "a sharded head of norms": Case("adaface", accumulate=2, negatives=1.0),
    "a sharded head beside relations": Case(
        "coupleface", {"beta": 0.1, "beta_head": "cosface"}, negatives=1.0
    ),
    "its whole head": Case("coupleface", {"beta": 0.1, "beta_head": "cosface"}),
    "shared prototypes": Case("kd", negatives=1.0),
    "the student's neighbours among shares": Case(
        "coupleface", {"mining": "student", "alpha_pos": 0.5}, negatives=1.0
    ),
    "both sides' neighbours among shares": Case("coupleface", {"mining": "both"}, negatives=1.0),
    "more neighbours than a share has": Case(
        "coupleface", {"mining": "student", "neighbours": 9}, negatives=1.0
    ),
    "few negatives": Case("cosface", accumulate=2, negatives=0.3),
    "few negatives of adamw": Case("arcface", negatives=0.3, optimiser="adamw"),
    "a projector": Case("coupleface", narrow=True),
}


class Student(nn.Module):
    """Sees 8 x 8 grey levels."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 24), nn.Linear(24, size)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        seen = nn.functional.adaptive_avg_pool2d(pixels.mean(1, keepdim=True), 8).flatten(1)
        return self.last(torch.tanh(self.first(seen)))


def views_of(samples: list[tuple[int, int]]) -> ViewBatch:
    """Blocks of grey that follow from (epoch, index)."""
    rngs = [np.random.default_rng(sample) for sample in samples]
    small = np.stack([rng.integers(0, 256, (8, 8, 3), np.uint8) for rng in rngs])
    epochs, indices = np.array(samples, np.int64).T
    images = torch.from_numpy(small.repeat(14, 1).repeat(14, 2))
    return ViewBatch(images, indices, epochs, indices % 2, indices * 0)


def run(case: Case, bank: Bank, ranks: Ranks) -> dict[str, Any]:
    """Take some steps; return what every step logged, and how all that is trained has moved."""
    torch.manual_seed(0)
    module = registry.get(METHODS, case.method)
    mined = {"neighbours": 5} if getattr(module, "MINES", False) else {}
    method = Method(case.method, module.Options(**{**mined, **case.options}))
    size = SIZE // 2 if case.narrow else SIZE
    descent = Descent(case.optimiser, 0.02, 1e-3, 0.9)
    spec = HeadSpec(case.negatives is not None, case.negatives or 1.0)
    head, sizes = head_shards.make_head(method, PEOPLE, SIZE, spec, ranks), (size, SIZE)
    state = networks.make_state(
        Student(size), sizes, head, descent, Layers(), False, case.precision
    )
    if case.scale:
        state.scaler = torch.amp.GradScaler("cpu", init_scale=case.scale)
    parts = {"student": state.student, "projector": state.projector, "head": state.head}
    before = {name: _copy(part) for name, part in parts.items()}
    before["head"] = _copy_head(state, ranks)
    labels = np.arange(len(bank.embeddings)) % PEOPLE
    prototypes = mining.prototypes(bank, labels)
    shard = head_shards.share_prototypes(method, PEOPLE, spec, ranks)
    partners = None
    if method.mines:
        draw = mining.Draw(method.own.partners, method.own.mining, method.own.neighbours, 0)
        partners = mining.Partners(bank, labels, prototypes, draw, shard)
    if shard is not None:
        prototypes = prototypes[shard.start : shard.stop]
    kept = bank if method.uses_teacher else None
    stepper = Stepper(
        networks.join(state, ranks, CPU, Wrapping()),
        method,
        Relations(kept, labels, prototypes, partners, shard),
        None,
        None,
        ranks,
        CPU,
        Numerics(case.precision, False),
        Targets(),
        Regularisation(1.0, 0.0, 0.0, False),
    )
    order = every_face(len(labels), 0)
    plan = BatchPlan(
        order,
        BATCH // ranks.world,
        STEPS * case.accumulate,
        rank=(ranks.rank, ranks.world),
    )
    feeds = stepper.feeder.ahead(iter([views_of(samples) for samples in plan]), case.accumulate)
    lines = []
    for _ in range(STEPS):
        lines.append(stepper.step(state, [next(feeds) for _ in range(case.accumulate)], True))
        state.step += 1
    after = {name: _copy(part) for name, part in parts.items()}
    after["head"] = _copy_head(state, ranks)
    moved = {
        f"{name}.{key}": value - before[name][key]
        for name, part in after.items()
        for key, value in part.items()
    }
    return {"lines": lines, "moved": moved}


def _copy(part: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.detach().clone() for key, value in part.state_dict().items()}


def _copy_head(state: State, ranks: Ranks) -> dict[str, torch.Tensor]:
    """Give every rank the whole head."""
    found = head_shards.own_rows_of(state).get("weight")
    if found is None or ranks.world == 1:
        return _copy(state.head)
    start, rows = found
    whole = torch.zeros(PEOPLE, SIZE)
    whole[start : start + len(rows)] = rows
    dist.all_reduce(whole)
    return {**_copy(state.head), "weight": whole}


def make_bank(folder: Path) -> Bank:
    """Embeddings of people who are told apart, some near to each other."""
    rng = np.random.default_rng(0)
    people = rng.standard_normal((PEOPLE, SIZE)) + 1.0
    rows = people[np.arange(PEOPLE * SHOTS) % PEOPLE, None]
    rows = rows + 0.4 * rng.standard_normal((PEOPLE * SHOTS, 2, SIZE))
    return Bank(folder, rows.astype(np.float32))


def work(rank: int, world: int, folder: str) -> None:
    """Run every case as one of `world` ranks; every rank writes what it got."""
    torch.set_num_threads(1)
    if world > 1:
        store = dist.FileStore(f"{folder}/store-{world}", world)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    own = Path(folder) / f"{world}-{rank}"
    own.mkdir()
    bank = make_bank(own)
    found = {name: run(case, bank, Ranks(rank, world)) for name, case in CASES.items()}
    torch.save(found, own / "found.pt")
    if world > 1:
        dist.destroy_process_group()
