"""Save and load weights strictly, and read the folder a training run leaves behind.

A run folder: config.toml (every resolved option), lineage.json, metrics.jsonl, last.pt (full training state),
best.pt (weights at the best validation so far), student.pt (the run's result: weights only), bank/. Of `kit.py adapt` it holds
student.onnx, the result, and adapter.pt in their place.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mfr_kit import files, registry
from mfr_kit.errors import KitError
from mfr_kit.files import sha256_of, write_text  # noqa: F401 (part of what a run folder needs)
from mfr_kit.models.embedders import ADAPTED
from mfr_kit.models.run_files import (  # noqa: F401 (part of what a run folder needs)
    ADVICE,
    BACKBONES,
    BEST,
    CONFIG,
    LARGEST_SIZE,
    LARGEST_WIDTH,
    LAST,
    LINEAGE,
    METRICS,
    STUDENT,
    read_config,
    read_lineage,
)


@dataclass(frozen=True)
class Run:
    """A trained student: `model` in eval mode on the CPU, `config` the run's options, `fingerprint` the sha256 of its weights file.

    `projector` is the (D of the teacher, D) matrix it was trained through where the sizes differ, else None; the model is without it.
    """

    path: Path
    model: nn.Module
    config: dict[str, Any]
    lineage: dict[str, Any]
    fingerprint: str
    projector: Tensor | None = None

    @property
    def name(self) -> str:
        return (
            self.path.parent.name
            if self.path.name == STUDENT
            else f"{self.path.parent.name}/{self.path.stem}"
        )

    @property
    def embedding_size(self) -> int:
        return self.config["embedding_size"]


def build_backbone(name: str, embedding_size: int | None = None, width: float = 1.0) -> nn.Module:
    """Make a backbone with random weights.

    Args:
        name: a file of models/backbones/.
        embedding_size: None for the backbone's own default.
        width: factor on the channel counts, > 0.
    Raises:
        KitError: no such backbone, or a width or size it cannot have.
    """
    module = registry.get(BACKBONES, name)
    size = module.EMBEDDING_SIZE if embedding_size is None else embedding_size
    if not (1 <= size <= LARGEST_SIZE and 0 < width <= LARGEST_WIDTH):
        limits = (
            f"--embedding-size must be 1 to {LARGEST_SIZE} and --width above 0 to {LARGEST_WIDTH}"
        )
        raise KitError(f"{limits}, found {size} and {width}")
    return module.build(embedding_size=size, width=width)


def load_run(path: Path | str) -> Run:
    """Load the student of a run folder (its student.pt), or one weights file inside such a folder (`runs/x/best.pt`).

    Raises:
        KitError: not a run folder, a run that did not finish, or weights that do not fit the configured backbone.
    """
    path = Path(path)
    folder, file = (path, path / STUDENT) if path.is_dir() else (path.parent, path)
    if not (folder / CONFIG).is_file():
        raise KitError(
            f"{folder} is not a run folder: it has no {CONFIG}. Give the --out folder of a `kit.py distill` run."
        )
    if not file.is_file() and (folder / ADAPTED).is_file():
        raise KitError(
            f"{folder} holds a run of `kit.py adapt`: its result is {folder / ADAPTED}, an ONNX file and no backbone of the kit"
        )
    if not file.is_file():
        raise KitError(
            f"{file} does not exist: the run did not finish. Continue it with --resume, or name {folder / BEST}."
        )
    config, lineage = read_config(folder), read_lineage(folder)
    network = config["student"], config["embedding_size"], float(config["width"])
    content = read_file(file)
    state = _state_in(content, file)
    with torch.device("meta"):  # no memory is asked for by numbers that the weights do not bear out
        refuse_misfit(build_backbone(*network), state, str(file))
    model = build_backbone(*network)
    load_state(model, state, str(file))
    projector = content.get("projector")
    if projector is not None and not (
        isinstance(projector, Tensor) and projector.ndim == 2 and projector.shape[1] == network[1]
    ):
        raise KitError(f"{file}: its projector is no matrix with {network[1]} columns; {ADVICE}")
    return Run(file, model.eval(), config, lineage, sha256_of(file), projector)


def backbone_of(state: Mapping[str, Tensor], where: str) -> tuple[nn.Module, int]:
    """Tell which backbone of width 1 a plain state dict belongs to by its keys; returns it loaded, in eval mode, and its embedding size.

    Raises:
        KitError: no backbone has these keys, or one does and its shapes differ.
    """
    state = {
        key.removeprefix("module."): value for key, value in state.items()
    }  # as DistributedDataParallel saves them
    for name in registry.names(BACKBONES):
        with torch.device("meta"):
            own = build_backbone(name).state_dict()
        counters = {
            key for key in own if key.endswith("num_batches_tracked")
        }  # some publishers leave them out; eval mode needs none
        if set(own) - counters != set(state) - counters:
            continue
        default = registry.get(BACKBONES, name).EMBEDDING_SIZE
        last = next(key for key in reversed(own) if own[key].ndim and own[key].shape[0] == default)
        model = build_backbone(name, len(state[last]))
        load_state(model, {**{key: torch.tensor(0) for key in counters}, **state}, where)
        return model.eval(), len(state[last])
    known = ", ".join(registry.names(BACKBONES))
    raise KitError(
        f"{where}: its {len(state)} tensors are not those of any backbone here at width 1 ({known})"
    )


def save_student(path: Path, state: Mapping[str, Tensor], projector: Tensor | None = None) -> None:
    """Write a student's weights the way `load_run` reads them, on the CPU and free of views."""
    save(
        path,
        {
            "state_dict": {key: value.detach().cpu().clone() for key, value in state.items()},
            "projector": projector,
        },
    )


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict; a checkpoint's `state_dict` entry is unwrapped.

    Raises:
        KitError: missing, unreadable, or something other than tensors by name.
    """
    return _state_in(read_file(path), path)


def read_file(path: Path, advice: str = "") -> Any:
    """Read what `torch.save` wrote, onto the CPU (`weights_only`, so that no code of the file runs).

    Args:
        path: of the file.
        advice: what the user can do about a broken one, at the end of the complaint.
    Raises:
        KitError: missing or unreadable.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise KitError(f"no such weights file: {path}") from None
    except Exception as error:  # noqa: BLE001  torch raises pickle, zip, EOF and runtime errors for a broken file
        raise KitError(
            f"{path} cannot be read as weights: {(str(error) or type(error).__name__).splitlines()[0]}{advice}"
        ) from None


def _state_in(state: Any, path: Path) -> dict[str, Tensor]:
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(value, Tensor) for value in state.values())
    ):
        raise KitError(f"{path} holds no state dict (tensors by name)")
    return state


def load_state(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load weights into a model, all of them or none.

    Raises:
        KitError: names up to eight missing, unexpected and misshapen keys each.
    """
    refuse_misfit(model, state, where)
    model.load_state_dict(state)


def refuse_misfit(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Compare keys and shapes of weights with a model's.

    Raises:
        KitError: names up to eight missing, unexpected and misshapen keys each.
    """
    own = model.state_dict()
    problems = {
        "missing": [key for key in own if key not in state],
        "unexpected": [key for key in state if key not in own],
        "of another shape": [
            f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}"
            for key in own
            if key in state and own[key].shape != state[key].shape
        ],
    }
    told = [
        f"{len(keys)} {kind}: {', '.join(map(str, keys[:8]))}{' ...' if len(keys) > 8 else ''}"
        for kind, keys in problems.items()
        if keys
    ]
    if told:
        raise KitError(
            f"the weights of {where} do not fit this {type(model).__name__}. {'; '.join(told)}. Check backbone, width and size."
        )


def save(path: Path, content: Any) -> None:
    """Write with `torch.save` under a temporary name, then rename, so that a killed process leaves the old file whole."""
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)  # of a path it would store the name, which is another each time


def to_toml(values: Mapping[str, Any]) -> str:
    """Format flat options as TOML; None (an option left to its default) is left out."""
    return "".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
        for name, value in values.items()
        if value is not None
    )
