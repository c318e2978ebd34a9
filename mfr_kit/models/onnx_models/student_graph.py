"""Somebody's ONNX recogniser as a network that is trained like one of the kit's own, and the graph
without its weights that a run keeps beside them.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from mfr_kit.errors import KitError
from mfr_kit.models import preprocess
from mfr_kit.models.identity import fingerprint_onnx
from mfr_kit.models.lineage import ancestor, parse
from mfr_kit.models.onnx_models import batch_free, onnx_file, runtime
from mfr_kit.models.onnx_models.graph_constants import attributes_of, constants_of, opset_of
from mfr_kit.models.onnx_models.graph_network import GraphNetwork
from mfr_kit.models.onnx_models.onnx_embedder import OnnxEmbedder
from mfr_kit.models.onnx_models.student_names import rename_constants
from mfr_kit.models.parity import colour_faces, cosine_difference
from mfr_kit.models.spec import parse_spec

if TYPE_CHECKING:
    import onnx

PARITY = 1e-6  # largest 1 - cosine to the file
FACES = 4  # that are compared
FIXED = "mfr_kit.fixed"  # metadata: constants that are not trained, as JSON
TRAINED_KINDS = ("tensor(float)", "tensor(uint8)")  # inputs of graphs that compute in float32
# what comes before the first of these is preparation of the pixels, and is not trained
LEARNT = ("Conv", "Gemm", "MatMul", "BatchNormalization", "PRelu")
FLOAT = 1  # onnx.TensorProto.FLOAT
WIDE = {10: "float16", 11: "float64", 16: "bfloat16"}
HALF = (10, 16)
INPUT = "faces"
DIFFERS = 1e-3  # of a node's largest value, from which on its output is another


def is_onnx(text: str) -> bool:
    """Whether what was written for a student means an ONNX file, and no backbone of the kit."""
    spec = parse_spec(text)
    return spec is not None and spec.place.lower().endswith(".onnx")


def read_student(
    text: str, normalisation: str | None = None, threads: int = 0
) -> tuple[GraphNetwork, dict]:
    """Make a network of an ONNX recogniser, (B, 3, 112, 112) as it is normalised -> (B, D).

    Args:
        text: `model.onnx`, or `model.onnx:imagenet`.
        normalisation: of a file that does not say.
        threads: of onnxruntime, with which the network is compared.
    Returns:
        the network in training mode, with the attributes `normalisation`, `embedding_size` and
        `graph` (see `build`), and the lineage entry of its weights.
    Raises:
        KitError: no recogniser, one that the kit cannot train, or one that gives other embeddings
            as a torch network; names the operator.
    """
    spec = parse_spec(text)
    if spec is None:
        raise KitError(f"--student {text}: a student is one model")
    if not Path(spec.place).is_file():
        raise KitError(f"--student {text}: there is no such file")
    source = OnnxEmbedder(Path(spec.place), spec.normalisation, threads, usual=normalisation)
    model = prepare(source)
    network = build(model, str(source.path))
    faces = colour_faces(FACES)
    pixels = preprocess.to_tensor(faces, source.normalisation)
    with torch.inference_mode():
        found = network.eval()(pixels).numpy()
    differs = float(np.max(cosine_difference(source.embed(faces), found)))
    if not differs <= PARITY:  # a NaN fails too
        where = _first_difference(source, network, faces[: source.batch or 1])
        raise KitError(
            f"{source.path} gives other embeddings as a torch network (1 - cosine is "
            f"{differs:.1e}, at most {PARITY:.0e} is rounding){where}: it cannot be a student"
        )
    return network.train(), ancestor(source.path.name, source.fingerprint, source.lineage)


def may_learn(source: OnnxEmbedder) -> bool:
    """Whether a recogniser's graph is of operators and numbers that a student may have; `prepare`
    knows more, and takes longer.
    """
    model = runtime.mended(source.path)[0]
    try:
        if model is not None:
            _refuse_untrainable(source, model)
            GraphNetwork(model, source.signature.output)
    except KitError:
        return False
    return model is not None


def read_tensors(path: Path) -> tuple[dict[str, dict[str, torch.Tensor]], dict]:
    """Read a file's float constants by their names, for a network that has the same names, and
    the lineage entry of its weights.

    Raises:
        KitError: it cannot be read.
    """
    model = onnx_file.load_with_weights(path)
    if model is None:
        raise KitError(f"{path}: {onnx_file.why_no_model(path) or 'it cannot be read as ONNX'}")
    constants = dict(constants_of(model.graph, list(model.graph.node)))
    states = {key: value for key, value in constants.items() if value.is_floating_point()}
    said = {item.key: item.value for item in model.metadata_props}.get(preprocess.META_LINEAGE)
    try:
        lineage = parse(said) if said else None
    except ValueError:
        lineage = None
    return {"": states}, ancestor(path.name, fingerprint_onnx(path), lineage)


def prepare(source: OnnxEmbedder) -> "onnx.ModelProto":
    """Bring a recogniser's graph to the form that `build` reads: one input of planes with a free
    batch, one output (N, D), every constant an initialiser with a name of its own.

    Raises:
        KitError: see `read_student`.
    """
    import onnx
    from onnx import helper, numpy_helper

    name = str(source.path)
    model = runtime.mended(source.path)[0]
    if model is None:
        raise KitError(f"{name}: it is too large to be read as a torch network")
    _refuse_untrainable(source, model)
    graph, entry, output = model.graph, source.signature.input, source.signature.output
    GraphNetwork(model, output, name)  # names what there is not, first of all
    batch_free.prune(graph, output)
    constants = dict(constants_of(graph, list(graph.node)))
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    if source.signature.layout == "NHWC":
        nodes.insert(0, helper.make_node("Transpose", [INPUT], [entry], perm=[0, 2, 3, 1]))
        entry = INPUT
    plain = helper.make_graph(
        nodes,
        "student",
        [helper.make_tensor_value_info(entry, FLOAT, ["N", 3, 112, 112])],
        [helper.make_tensor_value_info(output, FLOAT, ["N", source.embedding_size])],
        [numpy_helper.from_array(value.numpy(), key) for key, value in constants.items()],
    )
    made = helper.make_model(
        plain,
        opset_imports=[helper.make_opsetid("", opset_of(model))],
        ir_version=max(4, model.ir_version),  # since which initialisers are no inputs
    )
    if source.batch is not None:
        batch_free.free_reshapes(made.graph, source.batch, entry)
    faces = colour_faces(max(batch_free.BATCHES))
    pixels = preprocess.to_tensor(faces, source.normalisation)
    fixed = batch_free.fold(made, entry, pixels, name)
    batch_free.prune(made.graph, output)
    _flatten(made, pixels)
    fixed |= _preparation(made.graph, entry)
    renamed = rename_constants(made.graph)
    helper.set_model_props(
        made,
        {
            preprocess.META_NORMALISATION: source.normalisation,
            preprocess.META_EMBEDDING_SIZE: str(source.embedding_size),
            FIXED: json.dumps(sorted(renamed.get(key, key) for key in fixed)),
        },
    )
    assert isinstance(made, onnx.ModelProto)
    return made


def build(model: "onnx.ModelProto", name: str) -> GraphNetwork:
    """Make a network of a graph as `prepare` leaves it.

    Args:
        model: with its weights, or without: then the network's parameters and buffers are on the
            meta device, until weights are loaded with `assign=True`.
        name: what errors call it.
    Returns:
        the network, with what it takes as `normalisation`, its `embedding_size`, and as `graph`
        the graph without weights.
    """
    said = {item.key: item.value for item in model.metadata_props}
    network = GraphNetwork(model, name=name, fixed=json.loads(said[FIXED]))
    network.normalisation = said[preprocess.META_NORMALISATION]
    network.embedding_size = int(said[preprocess.META_EMBEDDING_SIZE])
    network.graph = _without_weights(model)
    return network


def read_graph(path: Path) -> GraphNetwork:
    """Read the graph that a run keeps; its weights are on the meta device.

    Raises:
        KitError: missing or damaged.
    """
    try:
        return build(onnx_file.load(path), str(path))
    except (KeyError, ValueError, TypeError, RuntimeError, StopIteration) as error:
        raise KitError(
            f"{path} is no graph of a student ({onnx_file.one_line(error)}): copy the whole run "
            "folder again, or train it again"
        ) from None


def _without_weights(model: "onnx.ModelProto") -> bytes:
    import onnx

    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for item in bare.graph.initializer:
        if item.data_type == FLOAT and np.prod(item.dims) > 1:
            item.ClearField("raw_data")
            item.ClearField("float_data")
    return bare.SerializeToString(deterministic=True)


def _refuse_untrainable(source: OnnxEmbedder, model: "onnx.ModelProto") -> None:
    kind = source.signature.kind
    if kind not in TRAINED_KINDS:
        raise KitError(
            f"{source.path} takes {kind.removeprefix('tensor(').removesuffix(')')}: a student "
            "computes in float32; export it so"
        )
    for item in model.graph.initializer:
        if item.data_type in WIDE and np.prod(item.dims) > 1:
            raise KitError(
                f"{source.path}: its weights are {WIDE[item.data_type]} "
                f"('{onnx_file.printable(item.name)}'): a student is trained in float32; export "
                "it so"
            )
    for node in model.graph.node:
        if node.op_type == "Cast" and attributes_of(node)["to"] in HALF:
            raise KitError(
                f"{source.path} computes in half precision (Cast "
                f"'{onnx_file.printable(node.output[0])}'): a student is trained in float32; "
                "export it so"
            )
        if node.op_type == "BatchNormalization" and attributes_of(node).get("training_mode"):
            raise KitError(
                f"{source.path}: the BatchNormalization '{onnx_file.printable(node.name)}' was "
                "exported for training: export the model in eval mode"
            )


def _flatten(model: "onnx.ModelProto", pixels: torch.Tensor) -> None:
    """Make rows of an output (N, D, 1, 1), in place, by one more node."""
    from onnx import helper

    with torch.inference_mode():
        shape = GraphNetwork(model).eval()(pixels).shape
    output = model.graph.output[0]
    if len(shape) != 2:
        model.graph.node.append(helper.make_node("Flatten", [output.name], ["embedding"], axis=1))
        output.name = "embedding"


def _preparation(graph: "onnx.GraphProto", entry: str) -> set[str]:
    """Name the constants that only prepare the pixels, as a mean and its deviation."""
    raw, found = {entry}, set()
    constants = {item.name for item in graph.initializer}
    for node in graph.node:
        if node.op_type in LEARNT or not raw.intersection(node.input):
            continue
        raw.update(node.output)
        found.update(constants.intersection(node.input))
    return found


def _first_difference(source: OnnxEmbedder, network: GraphNetwork, faces: np.ndarray) -> str:
    """Name the first node of a file whose output torch computes otherwise."""
    import onnx

    model = runtime.mended(source.path)[0]
    if model is None:
        return ""
    kinds = {value: node for node in model.graph.node for value in node.output if value}
    known = {item.name for item in model.graph.output}
    extra = [onnx.ValueInfoProto(name=value) for value in kinds if value not in known]
    model.graph.output.extend(extra)
    feed = source.signature.feed(faces, source.normalisation)
    try:
        session = runtime.open_session(model.SerializeToString(), 1)
        names = [item.name for item in session.get_outputs()]
        wanted = dict(zip(names, session.run(None, feed), strict=True))
        with torch.inference_mode():
            pixels = preprocess.to_tensor(faces, source.normalisation)
            found = network.eval().evaluate(pixels, forget=False)
    except Exception:  # noqa: BLE001  a file that onnxruntime cannot show the inside of
        return ""
    for value, node in kinds.items():
        if value in found and value in wanted and _differ(wanted[value], found[value]):
            return f"; the first to differ is the {node.op_type} '{onnx_file.printable(value)}'"
    return ""


def _differ(wanted: np.ndarray, found: torch.Tensor) -> bool:
    own = found.detach().numpy()
    if own.shape != np.shape(wanted):
        return True
    if own.dtype.kind != "f":
        return not np.array_equal(wanted, own)
    return bool(np.abs(wanted - own).max(initial=0) > DIFFERS * np.abs(wanted).max(initial=1e-9))
