"""Correctness sections of benchmarks/gpu.py: a device gives what the CPU gives."""

import copy
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from benchmarks import gpu_recognisers, gpu_views
from benchmarks.gpu_made_up import (
    MadeUpEmbedder,
    Pictures,
    embeddings_of,
    make_state,
    make_stepper,
    make_views,
    options,
)
from mfr_kit import registry
from mfr_kit.evaluation.inputs.embed import embed_set
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.rates import at_far
from mfr_kit.evaluation.verification.score_bins import COARSE
from mfr_kit.evaluation.verification.scores import histogram, score
from mfr_kit.losses._batch import unit
from mfr_kit.submission import export
from mfr_kit.training.options import METHODS
from mfr_kit.training.teacher import bank, mining

CPU = torch.device("cpu")
SIZE, FACES, PEOPLE, BATCH = 32, 600, 60, 8
ROWS = 1e-4  # relative difference of embeddings that rounding explains
# of a step's loss and weights; sp and rkd compare samples that an untrained student hardly tells
# apart, which multiplies rounding most
LIMITS = {"float64": (1e-6, 1e-4), "float32": (1e-5, 1e-2)}
SCALE = 64.0
TURN = 0.9  # cosine between the ways of the weights in half precision and in float32
BACKBONES = {"iresnet50": 1.0, "mobilefacenet": 1.0, "sface": 1.0}
COUNTED = 4000  # faces compared with one another
SMALL = {"mobilefacenet": 0.125}  # where both sides are the CPU


def difference(one, other) -> float:
    """Largest difference, of the largest value."""
    one, other = (torch.as_tensor(value).detach().double().cpu() for value in (one, other))
    return float((one - other).abs().max() / other.abs().max().clamp_min(1e-12))


def step_of(chosen, device: torch.device, folder: Path, wide: bool = False) -> tuple[float, dict]:
    """Do one step; return its loss and how every weight moved.

    Args:
        chosen: the run's options.
        device: where.
        folder: for the bank.
        wide: a network of float64, through whose layers rounding does not grow.
    """
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((FACES, 2, SIZE)).astype(np.float32)
    labels = np.arange(FACES) % PEOPLE
    state = make_state(chosen, SIZE, PEOPLE, device)
    if wide:
        state.student.double()
        state.student.register_forward_pre_hook(lambda _, given: (given[0].double(),))
    if state.scaler.is_enabled():  # small enough for the first step not to overflow
        state.scaler = torch.amp.GradScaler(device.type, init_scale=SCALE)
    before = {
        name: value.detach().cpu().clone()
        for name, value in [*state.student.named_parameters(), *state.head.named_parameters()]
    }
    stepper = make_stepper(chosen, state, rows, labels, device, folder)
    feed = stepper.feeder.read(make_views(BATCH, FACES))
    loss = stepper.step(state, [feed], True)["loss"]
    now = dict([*state.student.named_parameters(), *state.head.named_parameters()])
    return loss, {name: now[name].detach().cpu() - value for name, value in before.items()}


def methods(device: torch.device, folder: Path, names: tuple[str, ...] = ()) -> dict:
    """One step of every method: with a network of float64, which shows that both sides compute the
    same, and of float32, where the layers multiply what rounding differs.
    """
    found, ok = {}, True
    for name in names or registry.names(METHODS):
        found[name] = {}
        for kind, limits in list(LIMITS.items())[: 1 + (device.type == "cuda")]:
            sides = []
            for place, lookup in ((CPU, "disk"), (device, "device")):
                chosen = options(method=name, width=0.125, learning_rate=0.01, bank_on=lookup)
                at = folder / f"{name}-{kind}-{lookup}"
                sides.append(step_of(chosen, place, at, kind == "float64"))
            differs = _steps_differ(*sides)
            ok &= all(own <= limit for own, limit in zip(differs, limits, strict=True))
            found[name][kind] = differs
    return {"ok": ok, "loss_and_weights": found}


def half(device: torch.device, folder: Path) -> dict:
    """One step in half precision: how far the weights' way turns from that in float32."""
    found = {}
    for precision in ("float32", "bf16", "fp16"):
        chosen = options(width=0.125, learning_rate=0.01, bank_on="device", precision=precision)
        _, moved = step_of(chosen, device, folder / precision)
        found[precision] = torch.cat([value.flatten().double() for value in moved.values()])
    full = found.pop("float32")
    cosines = {name: float(torch.cosine_similarity(full, way, 0)) for name, way in found.items()}
    return {"ok": min(cosines.values()) >= TURN, "cosine_to_float32": cosines}


def _steps_differ(wanted: tuple[float, dict], ours: tuple[float, dict]) -> list[float]:
    """Relative differences of the loss, and of how the weights moved."""
    (loss, moved), (same_loss, same_moved) = wanted, ours
    scale = max(float(value.abs().max()) for value in moved.values())
    weights = max(float((same_moved[key] - moved[key]).abs().max()) for key in moved) / scale
    return [abs(same_loss - loss) / max(abs(loss), 1e-12), weights]


def bank_rows(device: torch.device, folder: Path) -> dict:
    """Rows that the device fills, and rows looked up where the bank is placed."""
    pictures = Pictures(50)
    filled = [
        bank.store(
            folder / str(number),
            pictures,
            MadeUpEmbedder("mobilefacenet", where, width=0.25),
            batch=8,
            progress=False,
        )
        for number, where in enumerate((CPU, device))
    ]
    rows = difference(np.array(filled[1].embeddings), np.array(filled[0].embeddings))
    at, mirrored = np.array([3, 49, 0, 3]), np.array([1, 0, 0, 1])
    wanted, sums = filled[0].rows(at, mirrored), filled[0].sums(at)
    looked = {}
    for place in ("device", "host", "disk"):
        placed = filled[0].placed(device, place)
        looked[place] = max(
            difference(placed.lookup(device, at, mirrored), wanted),
            difference(placed.lookup_sums(device, at), sums),
        )
    ok = rows <= ROWS and max(looked.values()) <= 1e-6
    return {"ok": ok, "filled": rows, "looked_up": looked}


def embeddings(device: torch.device, folder: Path) -> dict:
    """`embed_set` with mirrored faces of three backbones."""
    pictures, found = Pictures(24), {}
    for name, width in (BACKBONES if device.type == "cuda" else SMALL).items():
        wanted, ours = (
            embed_set(MadeUpEmbedder(name, where, width=width), pictures, flip=True, batch=10)
            for where in (CPU, device)
        )
        found[name] = difference(ours, wanted)
    return {"ok": max(found.values()) <= ROWS, "largest_difference": found}


def counts(device: torch.device, folder: Path) -> dict:
    """All against all: accepted pairs at every FAR, and the histogram of all scores."""
    faces, fars = embeddings_of(COUNTED, 512), (1e-2, 1e-3, 1e-4, 1e-5)
    ours, wanted = (score(Pairs(faces, None, where), fars) for where in (device, None))
    points = [
        [(point.false_accepts, point.true_accepts) for point in (at_far(side, far) for far in fars)]
        for side in (ours, wanted)
    ]
    on_cpu = sum(histogram(COARSE.of(it.impostors), COARSE.count) for it in wanted.pairs.blocks())
    apart = int(np.abs(-np.diff(ours.above) - on_cpu)[1:].sum()) // 2
    return {
        "ok": points[0] == points[1],
        "accepted": points[0],
        "accepted_on_cpu": points[1],
        "pairs": int(wanted.above[1]),
        "in_the_next_bin_by_rounding": apart,
    }


def mined(device: torch.device, folder: Path) -> dict:
    """Neighbours of 93,431 prototypes: of the first 200, against a product on the CPU."""
    classes, part = (93_431, 200) if device.type == "cuda" else (9_343, 50)
    points = unit(torch.randn(classes, 512, generator=torch.Generator().manual_seed(0)))
    found = mining.nearest(points.to(device), 100)[:part].long()
    similarity = points[:part] @ points.T
    similarity[torch.arange(part), torch.arange(part)] = -torch.inf
    wanted = similarity.topk(100, dim=1)
    # neighbours whose cosines are equal to rounding may change places
    apart = float((similarity.gather(1, found) - wanted.values).abs().max())
    shared = np.mean(
        [
            len(np.intersect1d(one, other)) / 100
            for one, other in zip(found.numpy(), wanted.indices.numpy(), strict=True)
        ]
    )
    return {"ok": apart <= 1e-5 and shared >= 0.999, "cosines_apart": apart, "shared": shared}


def exported(device: torch.device, folder: Path) -> dict:
    """The ONNX of a network that lives on the device, against the network there."""
    embedder = MadeUpEmbedder("mobilefacenet", device, width=0.125)
    model = copy.deepcopy(embedder.model).cpu()
    proto, _ = export.export_graph(model, export.OPSETS[0])
    parity = export.compare(model, proto.SerializeToString())
    here = MadeUpEmbedder("mobilefacenet", CPU, width=0.125).embed(export.colour_faces(4))
    there = difference(embedder.embed(export.colour_faces(4)), here)
    worst = max(parity.values())
    return {"ok": worst <= export.TOLERANCE and there <= ROWS, "parity": worst, "device": there}


def group(device: torch.device, folder: Path) -> dict:
    """A process group of one rank, as `ranks.join` makes it: a gather and a step of DDP."""
    on_cuda = device.type == "cuda"
    if on_cuda:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_cuda else "gloo",
        init_method=f"file://{folder / 'store'}",
        rank=0,
        world_size=1,
        device_id=device if on_cuda else None,
    )
    try:
        ids = [device.index] if on_cuda else None
        layer = torch.nn.parallel.DistributedDataParallel(
            torch.nn.Linear(8, 4).to(device), device_ids=ids
        )
        from torch.distributed.nn.functional import all_gather

        both = torch.cat(all_gather(layer(torch.ones(3, 8, device=device))))
        both.sum().backward()
        dist.all_reduce(torch.zeros(1))
        gradient = layer.module.weight.grad
        return {"ok": bool((gradient == 3).all()), "backend": str(dist.get_backend())}
    finally:
        dist.destroy_process_group()


SECTIONS = {
    "same_methods": methods,
    "same_half": half,
    "same_bank_rows": bank_rows,
    "same_embeddings": embeddings,
    "same_counts": counts,
    "same_mining": mined,
    "same_views": gpu_views.same_views,
    "same_export": exported,
    "same_converted": gpu_recognisers.same_converted,
    "same_onnxruntime": gpu_recognisers.same_onnxruntime,
    "process_group": group,
}
