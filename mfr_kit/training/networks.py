"""The networks of a run: a teacher that is loaded, a student with its initial weights, and what is
trained beside it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mfr_kit import assets, registry
from mfr_kit.errors import KitError
from mfr_kit.models import publishers, weights, weights_fit
from mfr_kit.models.embedders import Embedder
from mfr_kit.models.embedding_pool import load_on
from mfr_kit.models.input_format import USUAL, InputFormat, parse
from mfr_kit.models.lineage import UNKNOWN, ancestor
from mfr_kit.models.onnx_models import onnx_file, student_graph
from mfr_kit.models.preprocess import META_NORMALISATION, input_of_network, mark_input
from mfr_kit.models.run_files import is_of_run
from mfr_kit.models.spec import ASSET_NORMALISATION, ModelSpec, parse_spec
from mfr_kit.models.weights_file import read_states
from mfr_kit.seeding import rng_for
from mfr_kit.training import optimise
from mfr_kit.training.checkpoint import State
from mfr_kit.training.ranks import Ranks
from mfr_kit.training.recompute import recompute_blocks
from mfr_kit.training.scaling import make_scaler
from mfr_kit.training.settings import Descent, Layers, StudentSpec, TeacherSpec, Wrapping

INIT_STREAM = 3
States = publishers.States


def load_teacher(teacher: TeacherSpec, device: str = "cpu", engine: str = "local") -> Embedder:
    """Load the recogniser that gives the targets; `device` as `--device` takes it, and `engine` as
    `--bank-engine`.

    Raises:
        KitError: see `load_embedder`.
    """
    return load_on(
        engine,
        teacher.spec,
        normalisation=teacher.normalisation,
        threads=teacher.threads,
        device=device,
        output=teacher.output,
        precision=teacher.precision,
    )


def describe(embedder: Embedder) -> dict:
    """Compose the lineage entry of a model that leaves a trace in another."""
    return ancestor(embedder.name, embedder.fingerprint, embedder.lineage)


def make_student(
    spec: StudentSpec, teacher: Embedder, place: str
) -> tuple[nn.Module, int, dict | None]:
    """Build the student with its initial weights.

    Args:
        spec: of the student.
        teacher: whose embedding size it takes over, and perhaps whose weights.
        place: where the teacher was loaded from.
    Returns:
        the network on the CPU, its embedding size, and the lineage entry of its initial weights
        (None for random ones).
    Raises:
        KitError: weights that do not exist or do not fit; never replaced by random ones.
    """
    torch.manual_seed(int(rng_for(spec.seed, INIT_STREAM).integers(1 << 62)))
    if spec.backbone not in registry.names(weights.BACKBONES):
        return _make_graph_student(spec)
    size = spec.embedding_size or teacher.embedding_size
    student = weights.build_backbone(spec.backbone, size, spec.width)
    if spec.init == "random":
        return student, size, None
    states, parent, form = (
        _teachers_weights(spec.backbone, teacher, place)
        if spec.init == "teacher"
        else _weights_of(_single(spec.init, "--init"))
    )
    mark_input(student, form)
    where, kind = f"--init {spec.init}", type(student).__name__
    student.load_state_dict(weights_fit.match(states, student.state_dict(), where, kind))
    return student, size, parent


def _make_graph_student(spec: StudentSpec) -> tuple[nn.Module, int, dict]:
    """Build a student of somebody's ONNX file, or of the graph that its run keeps."""
    if spec.run is not None and is_kept(spec):
        network = student_graph.read_graph(spec.run / weights.GRAPH)
        network = network.to_empty(device="cpu")  # last.pt has its weights
        parent = weights.read_lineage(spec.run)["initial_weights"]
    else:
        network, parent = student_graph.read_student(spec.backbone)
    size: int = network.embedding_size
    if spec.embedding_size not in (None, size):
        raise KitError(
            f"--embedding-size {spec.embedding_size}: --student {spec.backbone} has {size}; leave "
            "it out, a projector is trained where the teacher has another"
        )
    if spec.init != "random" and not is_kept(spec):
        states, parent, _ = _weights_of(_single(spec.init, "--init"))
        found = weights_fit.match(states, network.state_dict(), f"--init {spec.init}", "graph")
        network.load_state_dict(found)
    return network.train(), size, parent


def is_kept(spec: StudentSpec) -> bool:
    """Whether a resumed run's own graph stands for an ONNX student whose file is gone."""
    place = parse_spec(spec.backbone)
    if spec.run is None or place is None or Path(place.place).is_file():
        return False
    return (spec.run / weights.GRAPH).is_file() and (spec.run / weights.LAST).is_file()


def put(network: nn.Module, device: torch.device, channels_last: bool) -> nn.Module:
    """Move a network to a device, its filters in the memory layout that is asked for."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    form: Any = {"memory_format": layout}  # torch's stubs know no such form
    return network.to(device, **form)


def _single(text: str, flag: str) -> ModelSpec:
    spec = parse_spec(text)
    if spec is None:
        raise KitError(
            f"{flag}: an ensemble has no weights of its own; name one of its models with --init"
        )
    return spec


def _teachers_weights(
    backbone: str, teacher: Embedder, given: str
) -> tuple[States, dict, InputFormat]:
    spec = _single(given, "--init teacher")
    path = Path(spec.place)
    if spec.place not in ASSET_NORMALISATION and path.suffix.lower() != ".onnx":
        states, parent, _ = _weights_of(spec)
        return states, parent, parse(getattr(teacher, "normalisation", USUAL))
    module = registry.get(weights.BACKBONES, backbone)
    if not hasattr(module, "state_from_onnx"):
        raise KitError(
            f"--init teacher: a {backbone} cannot take the weights of the ONNX file {given}; "
            "use --init random, or `kit.py adapt` to put an adapter behind it"
        )
    file = assets.path(spec.place) if spec.place in ASSET_NORMALISATION else path
    return {"": module.state_from_onnx(file)}, describe(teacher), parse(USUAL)


def _weights_of(spec: ModelSpec) -> tuple[States, dict, InputFormat]:
    """The tensors of a weights file, their lineage entry, and what a network with them takes."""
    path = Path(spec.place)
    if path.suffix.lower() == ".onnx" and path.is_file():
        tensors, parent = student_graph.read_tensors(path)
        return tensors, parent, _input_of_file(path, spec.normalisation)
    if is_of_run(path):
        run = weights.load_run(path)
        form = input_of_network(run.model)
        if spec.normalisation not in (None, form.text):
            raise KitError(f"--init {path} takes {form.text}: leave ':{spec.normalisation}' out")
        return (
            {"": run.model.state_dict()},
            ancestor(run.name, run.fingerprint, run.lineage),
            form,
        )
    if not path.exists():
        guess = registry.near_path(path, ["random", "teacher"])
        raise KitError(f"--init {path}: no such weights file or run folder{guess}")
    parent = {"name": path.name, "sha256": weights.sha256_of(path), "trained_on": [UNKNOWN]}
    states, form = publishers.adopt(read_states(path), str(path), spec.normalisation)
    return states, parent, form


def _input_of_file(path: Path, given: str | None) -> InputFormat:
    """What a network with an ONNX file's tensors takes: what the file says, or is said of it."""
    props = {item.key: item.value for item in onnx_file.load(path).metadata_props}
    said = props.get(META_NORMALISATION)
    form = parse(said or given or USUAL, f"{META_NORMALISATION} in {path}:")
    if given not in (None, form.text):
        raise KitError(f"--init {path} takes {form.text}: leave ':{given}' out")
    return form


def make_state(
    student: nn.Module,
    sizes: tuple[int, int],
    head: nn.Module | None,
    descent: Descent,
    layers: Layers,
    averaged: bool,
    precision: str = "float32",
    *,
    own_space: bool = False,
) -> State:
    """Put beside a student what is trained with it, and an optimiser of all.

    Args:
        student: on its device, with its initial weights.
        sizes: of its embeddings and of the teacher's; where they differ, a projector is trained.
        own_space: train one where they do not, for a student that comes with its embeddings
            (own_space.py).
        head: of the method, None where it has none.
        descent: the optimiser.
        layers: which of the student's layers move.
        averaged: whether weights are averaged.
        precision: in which the student computes; "fp16" scales the loss.
    Raises:
        KitError: no layer is left to train.
    """
    device = next(student.parameters()).device
    is_shared = sizes[0] == sizes[1] and not own_space
    projector = nn.Identity() if is_shared else nn.Linear(*sizes, bias=False)
    projector, kept_head = projector.to(device), nn.Identity() if head is None else head.to(device)
    optimiser = optimise.make_optimiser(student, [projector, kept_head], descent, layers)
    initial = {key: value.detach().clone() for key, value in student.state_dict().items()}
    average = dict(initial) if averaged else None
    scaler = make_scaler(device, precision)
    return State(student, projector, kept_head, optimiser, initial, average, scaler)


def join(
    state: State, ranks: Ranks, device: torch.device, wrapping: Wrapping
) -> Callable[[Tensor], Tensor]:
    """Join student and projector into the network that a step calls, wrapped for several ranks.

    Raises:
        KitError: batch statistics over ranks that are not of CUDA.
    """
    if wrapping.recompute:
        recompute_blocks(state.student)
    if wrapping.sync_norms and ranks.world > 1:
        if device.type != "cuda":
            raise KitError(
                f"--sync-norms: torch exchanges batch statistics between CUDA devices only, not "
                f"on {device.type}: use --freeze-bn, or leave it out"
            )
        nn.SyncBatchNorm.convert_sync_batchnorm(state.student)
    network: Any = nn.Sequential(state.student, state.projector)
    if wrapping.compiled:
        network = torch.compile(network)
    if ranks.world > 1:
        ids = [device.index or 0] if device.type == "cuda" else None
        # gradients lie in the buffers that are exchanged: no second copy of the weights' size
        network = nn.parallel.DistributedDataParallel(
            network, device_ids=ids, gradient_as_bucket_view=True
        )
    return network
