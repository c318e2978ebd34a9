"""Which backbones, by width, fit a track's time and size, and which is the largest that does."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mfr_kit import registry
from mfr_kit.errors import KitError
from mfr_kit.models.onnx_models import student_graph
from mfr_kit.models.spec import parse_specs
from mfr_kit.models.weights import BACKBONES, build_backbone, load_run
from mfr_kit.submission import tracks, v100_time
from mfr_kit.submission.export import export_graph

WIDTHS = (0.25, 0.5, 1.0, 1.5, 2.0)
# the topology does not depend on the width: a narrow network has the nodes and places
NARROW = 0.125
EMBEDDING_SIZE = 512


@dataclass(frozen=True)
class Candidate:
    """A backbone of one width with its cost; `fails` names the limits it passes."""

    backbone: str
    width: float
    embedding_size: int
    size_mib: float
    multiply_adds: int
    time_low_ms: float
    time_high_ms: float
    fails: list[str]


def candidates(track_name: str) -> list[Candidate]:
    """Cost every backbone at several widths, the smallest first.

    Raises:
        KitError: no such track, or one that does not limit the time on a V100.
    """
    track = tracks.load(track_name)
    if track.limits.time_ms is None or track.limits.time_on != "v100":
        raise KitError(
            f"track {track_name} sets no time on a V100: there is nothing to fit. Try one of: "
            f"{', '.join(_timed())}"
        )
    size = min(EMBEDDING_SIZE, track.limits.embedding_size or EMBEDDING_SIZE)
    found = []
    for name in registry.names(BACKBONES):
        narrow = build_backbone(name, 32, NARROW).eval()
        nodes = v100_time.count_launches(export_graph(narrow, 11)[0].graph)
        places = _places(narrow)
        found += [_cost(name, width, size, nodes, places, track.limits) for width in WIDTHS]
    return sorted(found, key=lambda candidate: candidate.multiply_adds)


def candidate_of(model: str, track_name: str) -> Candidate:
    """Cost somebody's own recogniser.

    Args:
        model: a run folder, or an ONNX file with its input behind a colon.
        track_name: of the track.
    Raises:
        KitError: it cannot be read as a torch network, or there is no such track.
    """
    is_file = student_graph.is_onnx(model) and Path(parse_specs(model)[0].place).is_file()
    network = student_graph.read_student(model)[0] if is_file else load_run(model).model
    with torch.inference_mode():
        size = network.eval()(torch.zeros(1, 3, 112, 112)).shape[1]
    nodes = len(export_graph(network, 11)[0].graph.node)
    name = Path(parse_specs(model)[0].place).stem
    meta = network.to("meta")
    return _candidate(
        name, 1.0, meta, (size, _multiply_adds(meta), nodes), tracks.load(track_name).limits
    )


def largest(found: list[Candidate]) -> Candidate | None:
    """The candidate with the most multiply-adds among those that pass no limit."""
    return max(
        (candidate for candidate in found if not candidate.fails),
        key=lambda candidate: candidate.multiply_adds,
        default=None,
    )


def _timed() -> list[str]:
    loaded = [tracks.load(name) for name in tracks.names()]
    return [
        track.name
        for track in loaded
        if track.limits.time_ms is not None and track.limits.time_on == "v100"
    ]


def _cost(
    name: str,
    width: float,
    size: int,
    nodes: int,
    places: dict[str, int],
    limits: tracks.Limits,
) -> Candidate:
    with torch.device("meta"):  # shapes without memory
        model = build_backbone(name, size, width).eval()
    if places.keys() != _layers(model).keys():  # an output or a shortcut of another shape has one
        places = _places(model)
    return _candidate(name, width, model, (size, _count(model, places), nodes), limits)


def _candidate(
    name: str, width: float, model: nn.Module, counts: tuple[int, int, int], limits: tracks.Limits
) -> Candidate:
    """Cost a network of an embedding size, of multiply-adds and of nodes."""
    size, count, nodes = counts
    size_mib = sum(item.numel() for item in model.parameters()) * 4 / 2**20
    times = sorted((v100_time.by_multiply_adds(count), v100_time.by_nodes(nodes)))
    fails = ["time"] if limits.time_ms is not None and times[1] > limits.time_ms else []
    fails += ["size"] if limits.file_mib is not None and size_mib > limits.file_mib else []
    return Candidate(name, width, size, size_mib, count, times[0], times[1], fails)


def _multiply_adds(model: nn.Module) -> int:
    """Count those of a network on the meta device for one face."""
    if hasattr(model, "graph"):  # which has no layers of torch's
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            model(torch.zeros(1, 3, 112, 112, device="meta"))
        return counter.get_total_flops() // 2
    return _count(model, _places(model))


def _count(model: nn.Module, places: dict[str, int]) -> int:
    """Multiply-adds of layers that use their weights at so many places each."""
    layers = _layers(model)
    return sum(layers[name].weight.numel() * count for name, count in places.items())


def _layers(model: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    """A network's convolutions and linear layers, by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }


def _places(model: nn.Module) -> dict[str, int]:
    """Count the places of one face at which each convolution and linear layer uses its weights."""
    found: Counter[str] = Counter()

    def count(name: str, module: nn.Module, _inputs, output: torch.Tensor) -> None:
        rows = output[0, 0] if isinstance(module, nn.Conv2d) else output[0, ..., 0]
        found[name] += rows.numel()

    hooks = [
        module.register_forward_hook(partial(count, name))
        for name, module in _layers(model).items()
    ]
    with torch.inference_mode():
        model(torch.zeros(1, 3, 112, 112, device=next(model.parameters()).device))
    for hook in hooks:
        hook.remove()
    return found
