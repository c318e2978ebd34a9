"""Put an adapter behind the graph of the recogniser it was trained on: one ONNX file, read like
any other.
"""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from mfr_kit import __version__
from mfr_kit.adapt.adapter import SLOPE, Adapter
from mfr_kit.errors import KitError
from mfr_kit.models import preprocess
from mfr_kit.models.embedders import Embedder
from mfr_kit.models.input_format import USUAL
from mfr_kit.models.onnx_models import onnx_file
from mfr_kit.models.onnx_models.onnx_embedder import OnnxEmbedder
from mfr_kit.models.onnx_models.runtime import open_session
from mfr_kit.models.onnx_models.signature import read_signature
from mfr_kit.models.operating_points import without_measurements
from mfr_kit.models.torch_embedder import TorchEmbedder
from mfr_kit.submission import export

OLDEST_OPSET = 7  # from here on Gemm and Add broadcast by themselves
OLDEST_IR = 4  # from here on initializers need not be inputs too
TOLERANCE = (
    1e-5  # largest difference between the file and adapter(recogniser), of the largest value
)
BATCHES = (1, 2, 32)
Embed = Callable[[np.ndarray], np.ndarray]  # faces -> embeddings


def append(embedder: Embedder, adapter: Adapter, path: Path, metadata: dict[str, str]) -> float:
    """Write recogniser and adapter as one file, when it agrees with the two run one after the
    other.

    The recogniser's nodes, opset and IR version stay; a fixed batch is freed if the graph allows
    it.

    Args:
        embedder: an ONNX recogniser, or a torch one, which is exported first.
        adapter: trained on its embeddings.
        path: of the file to write.
        metadata: stored beside the recogniser's own; normalisation, size and version are added.
    Returns:
        The largest difference found, of the largest value.
    Raises:
        KitError: an ensemble, a graph that nothing can be put behind, or a file that disagrees.
    """
    recogniser = graph_of(embedder)
    embed, size = _embed_of(embedder, recogniser), getattr(embedder, "batch", None)
    normalisation = getattr(embedder, "normalisation", USUAL)
    stored = {
        **without_measurements({item.key: item.value for item in recogniser.metadata_props}),
        preprocess.META_NORMALISATION: normalisation,
        preprocess.META_VERSION: __version__,
        preprocess.META_EMBEDDING_SIZE: str(embedder.embedding_size),
        preprocess.META_OUTPUT: "adapted",
        **metadata,
    }
    size = _batch(recogniser) or size
    attempts: list[tuple[onnx.ModelProto, tuple[int, ...]]]
    attempts = [(joined(recogniser, adapter, None), BATCHES)]
    if size is not None:
        attempts.append((joined(recogniser, adapter, size), (size,)))
    failure: Exception | None = None
    for proto, batches in attempts:
        helper.set_model_props(proto, dict(sorted(stored.items())))
        try:
            difference = compare(proto, embed, adapter, normalisation, batches)
        except Exception as error:  # noqa: BLE001  onnxruntime's exceptions share no base class: a graph may not bear a free batch
            failure = error
            continue
        if not difference <= TOLERANCE:  # a NaN fails too
            failure = KitError(
                f"its output differs by {difference:.1e} from the recogniser's, adapted; at most "
                f"{TOLERANCE:.0e}"
            )
            continue
        export.write(proto, path)
        return difference
    raise KitError(
        f"the adapter cannot be put behind {embedder.name}: {str(failure).splitlines()[0]}; "
        "nothing was written"
    )


def graph_of(embedder: Embedder) -> onnx.ModelProto:
    """The recogniser as an ONNX model: as it is, or exported from torch.

    Raises:
        KitError: an ensemble, or an opset before 7.
    """
    if isinstance(embedder, TorchEmbedder):
        return export.export_graph(copy.deepcopy(embedder.model).cpu(), export.OPSETS[0])[0]
    if not isinstance(embedder, OnnxEmbedder):
        raise KitError(
            f"{embedder.name} is several networks: adapt one of them, or distil them into one "
            "(kit.py distill --teacher A,B)"
        )
    proto = onnx_file.load_with_weights(embedder.path)
    if proto is None:
        raise KitError(
            f"{embedder.path} is too large to be written anew: at most "
            f"{onnx_file.MOST_BYTES >> 30} GiB with its weights"
        )
    onnx_file.free_batch(proto)
    onnx_file.shape_slopes(proto)
    _keep_output(proto.graph, embedder.signature.output)
    opset = next((item.version for item in proto.opset_import if item.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST_OPSET:
        raise KitError(
            f"{embedder.path} has opset {opset}: convert it to {OLDEST_OPSET} or later first "
            "(onnx.version_converter)"
        )
    return proto


def _keep_output(graph: onnx.GraphProto, name: str) -> None:
    """Drop the other outputs; one that is no row of numbers, (N, D, 1, 1), is flattened."""
    kept = next(item for item in graph.output if item.name == name)
    kind = kept.type.tensor_type
    rank = len(kind.shape.dim) if kind.HasField("shape") else 2
    if rank != 2:
        flat = f"{_unused(graph)}_flat"
        graph.node.append(helper.make_node("Flatten", [name], [flat], f"{flat}ten", axis=1))
        kept = helper.make_tensor_value_info(flat, kind.elem_type, [export.BATCH, None])
    else:
        kept = copy.deepcopy(kept)
    del graph.output[:]
    graph.output.append(kept)


def joined(recogniser: onnx.ModelProto, adapter: Adapter, batch: int | None) -> onnx.ModelProto:
    """Return a copy of the recogniser with the adapter's layers behind its output.

    Args:
        recogniser: with one output (B, D).
        adapter: its centre and spread are folded into the layers.
        batch: of input and output, whatever it was; None names it and leaves it free.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(recogniser)
    proto.ir_version = max(proto.ir_version, OLDEST_IR)
    graph = proto.graph
    before, kind = graph.output[0].name, graph.output[0].type.tensor_type.elem_type
    prefix = _unused(graph)
    if kind != TensorProto.FLOAT:
        graph.node.append(
            helper.make_node(
                "Cast", [before], [f"{prefix}_input"], f"{prefix}_cast", to=TensorProto.FLOAT
            )
        )
        before = f"{prefix}_input"
    value, layers = before, adapter.folded()
    for number, (weight, bias) in enumerate(layers, start=1):
        names = [f"{prefix}_weight_{number}", f"{prefix}_bias_{number}"]
        graph.initializer.extend(
            numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name)
            for name, values in zip(names, (weight, bias), strict=True)
        )
        product = f"{prefix}_product_{number}"
        graph.node.append(
            helper.make_node(
                "Gemm", [value, *names], [product], f"{prefix}_gemm_{number}", transB=1
            )
        )
        value = product
        if number < len(layers):
            value = f"{prefix}_hidden_{number}"
            graph.node.append(
                helper.make_node(
                    "LeakyRelu", [product], [value], f"{prefix}_leakyrelu_{number}", alpha=SLOPE
                )
            )
    output = f"{prefix}_embedding"
    graph.node.append(helper.make_node("Add", [before, value], [output], f"{prefix}_add"))
    del graph.output[:]
    size = batch or export.BATCH
    graph.output.append(
        helper.make_tensor_value_info(output, TensorProto.FLOAT, [size, layers[-1][0].shape[0]])
    )
    dims = _image(graph).type.tensor_type.shape.dim
    if batch is None:
        del graph.value_info[:]  # their batch was another
        dims[0].dim_param = size
    else:
        dims[0].dim_value = batch
    return proto


def compare(
    proto: onnx.ModelProto,
    embed: Embed,
    adapter: Adapter,
    normalisation: str,
    batches: tuple[int, ...],
) -> float:
    """The largest difference, of the largest value, between a file and adapter(recogniser) on
    made-up faces.
    """
    session, worst = open_session(proto.SerializeToString()), 0.0
    signature = read_signature(session, "the adapted file")
    for count in batches:
        faces = export.colour_faces(count)
        with torch.inference_mode():
            wanted = adapter(torch.from_numpy(embed(faces))).numpy()
        found = signature.run(session, faces, normalisation, "the adapted file")
        worst = max(worst, float(np.abs(found - wanted).max() / np.abs(wanted).max()))
    return worst


def _embed_of(embedder: Embedder, graph: onnx.ModelProto) -> Embed:
    """What the file is compared with: the recogniser; of a torch one its export, after that was
    compared with it as `export` does.
    """
    if not isinstance(embedder, TorchEmbedder):
        return embedder.embed
    data = graph.SerializeToString()
    parity = export.compare(copy.deepcopy(embedder.model).cpu(), data)
    if not all(difference <= export.TOLERANCE for difference in parity.values()):  # a NaN fails too
        raise KitError(
            f"the export of {embedder.name} disagrees with torch, cosine differences {parity}; "
            "nothing was written"
        )
    session, form = open_session(data), preprocess.input_of_network(embedder.model)
    return lambda faces: session.run(None, {export.INPUT: preprocess.to_input(faces, form)})[0]


def _image(graph: onnx.GraphProto) -> onnx.ValueInfoProto:
    """The input that takes faces; old files list their weights among the inputs too."""
    weights = {item.name for item in graph.initializer}
    return next(item for item in graph.input if item.name not in weights)


def _batch(recogniser: onnx.ModelProto) -> int | None:
    """The recogniser's fixed batch, None if it is free."""
    return _image(recogniser.graph).type.tensor_type.shape.dim[0].dim_value or None


def _unused(graph: onnx.GraphProto) -> str:
    """A prefix no name of the graph begins with: a recogniser may end with an adapter already."""
    names = [name for node in graph.node for name in (node.name, *node.output)] + [
        item.name for item in graph.initializer
    ]
    prefix = "adapter"
    while any(name.startswith(prefix) for name in names):
        prefix += "x"
    return prefix
