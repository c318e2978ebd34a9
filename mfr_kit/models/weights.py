"""Save and load weights strictly, and read the folder a training run leaves behind.

A run folder: config.toml (every resolved option), lineage.json, metrics.jsonl, last.pt (full
training state), best.pt (weights at the best validation so far), student.pt (the run's result:
weights only), bank/. Of `kit.py adapt` it holds student.onnx, the result, and adapter.pt in their
place.
"""

import functools
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
from mfr_kit.models import publishers, weights_fit
from mfr_kit.models.input_format import USUAL, InputFormat, parse
from mfr_kit.models.preprocess import mark_input
from mfr_kit.models.run_files import (  # noqa: F401 (part of what a run folder needs)
    ADVICE,
    BACKBONES,
    BEST,
    CONFIG,
    GRAPH,
    LARGEST_SIZE,
    LARGEST_WIDTH,
    LAST,
    LINEAGE,
    METRICS,
    STUDENT,
    read_config,
    read_lineage,
)
from mfr_kit.models.spec import ADAPTED
from mfr_kit.models.weights_file import read_file, read_state, states_in  # noqa: F401
from mfr_kit.models.weights_fit import load_state, refuse_misfit  # noqa: F401

FORMAT = "normalisation"  # in a weights file: what its student takes, where that is not the usual


@dataclass(frozen=True)
class Run:
    """A trained student: `model` in eval mode on the CPU, `config` the run's options, `fingerprint`
    the sha256 of its weights file.

    `projector` is the (D of the teacher, D) matrix it was trained through where the sizes differ,
    else None; the model is without it.
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
    """Load the student of a run folder (its student.pt), or one weights file inside such a folder
    (`runs/x/best.pt`).

    Raises:
        KitError: not a run folder, a run that did not finish, or weights that do not fit the
            configured backbone.
    """
    path = Path(path)
    folder, file = (path, path / STUDENT) if path.is_dir() else (path.parent, path)
    if not (folder / CONFIG).is_file():
        what = f"it has no {CONFIG}" if path.exists() else "there is no such file or folder"
        guess = "" if path.exists() else registry.near_path(path)
        raise KitError(
            f"{folder if path.exists() else path} is not a run folder: {what}. "
            f"Give the --out folder of a `kit.py distill` run{guess or '.'}"
        )
    if not file.is_file() and (folder / ADAPTED).is_file():
        raise KitError(
            f"{folder} holds a run of `kit.py adapt`: its result is {folder / ADAPTED}, an ONNX "
            "file and no backbone of the kit"
        )
    if not file.is_file():
        raise KitError(
            f"{file} does not exist: the run did not finish. Continue it with --resume, or name "
            f"{folder / BEST}."
        )
    config, lineage = read_config(folder), read_lineage(folder)
    content, size = read_file(file), config["embedding_size"]
    model = _filled(folder, config, states_in(content, str(file)), str(file))
    # a graph says itself what it takes
    form = None if hasattr(model, "graph") else _format_in(content, str(file))
    if form is not None:
        mark_input(model, form)
    projector = content.get("projector")
    if projector is not None and not (
        isinstance(projector, Tensor) and projector.ndim == 2 and projector.shape[1] == size
    ):
        raise KitError(f"{file}: its projector is no matrix with {size} columns; {ADVICE}")
    return Run(file, model.eval(), config, lineage, sha256_of(file), projector)


def _filled(
    folder: Path, config: Mapping[str, Any], states: dict[str, dict[str, Tensor]], where: str
) -> nn.Module:
    """The network of a run with the weights of one of its files."""
    if (folder / GRAPH).is_file():
        from mfr_kit.models.onnx_models.student_graph import read_graph

        graph = read_graph(folder / GRAPH)
        if graph.embedding_size != config["embedding_size"]:
            raise KitError(f"{folder / GRAPH} is not the graph of this run; {ADVICE}")
        state = weights_fit.match(states, graph.state_dict(), where, config["student"])
        graph.load_state_dict(state, assign=True)
        return graph
    network = config["student"], config["embedding_size"], float(config["width"])
    with torch.device("meta"):  # no memory is asked for by numbers that the weights do not bear out
        own = build_backbone(*network).state_dict()
    state = weights_fit.match(states, own, where, config["student"])
    model = build_backbone(*network)
    model.load_state_dict(state)
    return model


def backbone_of(state: Mapping[str, Tensor], where: str) -> tuple[nn.Module, int]:
    """Tell which backbone of width 1 a plain state dict belongs to by its keys; see
    `backbone_in`.
    """
    return backbone_in({"": state}, where)


def backbone_in(
    states: Mapping[str, Mapping[str, Tensor]], where: str, said: str | None = None
) -> tuple[nn.Module, int]:
    """Tell which backbone of width 1 a file's tensors belong to by their keys.

    Args:
        states: from `weights_file.read_states`.
        where: the file, for complaints.
        said: what its network takes, if the user says so; see `publishers.adopt`.
    Returns:
        the backbone with these weights, in eval mode, marked with what it takes; and its embedding
        size.
    Raises:
        KitError: no backbone has these keys, or one does and its shapes differ.
    """
    states, form = publishers.adopt(states, where, said)
    layouts, named = {}, []
    for name in registry.names(BACKBONES):
        layouts[name] = _layout(name)
        fits = weights_fit.find(states, layouts[name])
        if fits:
            _, state, prefix, _ = fits[0]
            named.append((_misfits(state, prefix, name, layouts[name]), name, fits[0]))
    if named:  # backbones that differ in their widths alone have the same names
        _, name, (_, state, prefix, _) = min(named, key=lambda candidate: candidate[0])
        size = _size_in(state, prefix, name, layouts[name])
        model = build_backbone(name, size)
        model.load_state_dict(weights_fit.match(states, model.state_dict(), where, name))
        mark_input(model, form)
        return model.eval(), size
    raise KitError(weights_fit.describe_stranger(states, layouts, where))


@functools.cache
def _layout(name: str) -> Mapping[str, Tensor]:
    """The names and shapes of a backbone of width 1, on torch's meta device."""
    with torch.device("meta"):
        return build_backbone(name).state_dict()


def _size_in(state: Mapping[str, Tensor], prefix: str, name: str, own: Mapping[str, Tensor]) -> int:
    """Read the embedding size off the last layer of a file that has a backbone's names."""
    default = registry.get(BACKBONES, name).EMBEDDING_SIZE
    last = next(
        key for key in reversed(list(own)) if own[key].ndim and own[key].shape[0] == default
    )
    return len(state[prefix + last]) if state[prefix + last].ndim else default


def _misfits(state: Mapping[str, Tensor], prefix: str, name: str, own: Mapping[str, Tensor]) -> int:
    """Count the tensors of a file that have a backbone's names and not its shapes."""
    size = _size_in(state, prefix, name, own)
    with torch.device("meta"):
        there = build_backbone(name, size).state_dict()
    keys = [key for key in there if prefix + key in state]
    return sum(state[prefix + key].shape != there[key].shape for key in keys)


def _format_in(content: Any, where: str) -> InputFormat | None:
    """What the student of a weights file takes; None where it says nothing."""
    text = content.get(FORMAT) if isinstance(content, dict) else None
    if text is None:
        return None
    if not isinstance(text, str):
        raise KitError(f"{where}: its '{FORMAT}' is no text; {ADVICE}")
    return parse(text, f"'{FORMAT}' in {where}:")


def save_student(
    path: Path,
    state: Mapping[str, Tensor],
    projector: Tensor | None = None,
    form: InputFormat | None = None,
) -> None:
    """Write a student's weights the way `load_run` reads them, on the CPU and free of views.

    Args:
        path: of the file.
        state: of the student.
        projector: see `Run`.
        form: what the student takes; None for the usual.
    """
    said = {} if form is None or form.text == USUAL else {FORMAT: form.text}
    save(
        path,
        {
            "state_dict": {key: value.detach().cpu().clone() for key, value in state.items()},
            "projector": projector,
            **said,
        },
    )


def save(path: Path, content: Any) -> None:
    """Write with `torch.save` under a temporary name, then rename, so that a killed process
    leaves the old file whole.
    """
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)  # of a path it would store the name, which is another each time


def to_toml(values: Mapping[str, Any]) -> str:
    """Format flat options as TOML; None (an option left to its default) is left out."""
    return "".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
        for name, value in values.items()
        if value is not None
    )
