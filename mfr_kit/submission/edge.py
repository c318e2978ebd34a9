"""A smaller file for phones and small boards beside `model.onnx`, with what it costs in
accuracy. Challenge servers refuse it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mfr_kit import files
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.embed import BATCH, embed_set
from mfr_kit.models import preprocess
from mfr_kit.models.embedders import Embedder, load_embedder
from mfr_kit.models.operating_points import without_measurements
from mfr_kit.models.weights import load_run
from mfr_kit.submission import card, edge_cost, edge_faces
from mfr_kit.submission.edge_cost import TarPair
from mfr_kit.submission.edge_faces import CALIBRATED
from mfr_kit.submission.export import INPUT, cosine_difference, export_graph

OPSET = 13  # the first whose DequantizeLinear takes a scale for each channel
METADATA = preprocess.META_EDGE


@dataclass(frozen=True)
class Edge:
    """An edge file and its cost: cosines to the float32 file over `measured` faces that calibrated
    nothing.

    `tar` is empty where no face set was given, or where it is too small for a claim. `protocols`
    holds what was measured on a set of its own: `edge_cost.compare_files`, with intervals.
    """

    path: Path
    size_bytes: int
    calibrated: int
    measured: int
    cosine_mean: float
    cosine_lowest: float
    tar: list[TarPair]
    protocols: dict[str, dict] = field(default_factory=dict)


@dataclass(frozen=True)
class Against:
    """Other faces than the usual halves.

    Attributes:
        calibrate: face set (or, without `val`, a list of aligned images) that calibrates; None for
            ORL faces.
        val: face set on which float32 and edge file are compared; None for cosines on ORL faces.
        val_people: list of the people of `val` to measure; None for all.
    """

    calibrate: Path | None = None
    val: Path | None = None
    val_people: Path | None = None


def export_edge(
    run_folder: Path,
    model: Path,
    kind: str,
    faces: Path | None = None,
    against: Against | None = None,
    for_cpu: bool = False,
) -> Edge:
    """Write `model.<kind>.onnx` beside a run's `model.onnx`, which stays the last by name: the one
    the organisers' checker takes.

    "float16" halves the weights and computes in float16; input and output stay float32. "int8"
    quantises convolutions and matrix products, weights by channel, activations by ranges that
    calibration faces span (static, QDQ).

    Args:
        run_folder: of `kit.py distill`, or one weights file inside it.
        model: its float32 file, from `export.export_run`.
        kind: "float16" or "int8".
        faces: face set, or text file of aligned images; None for the ORL faces. Half of the people
            (of a list: of the lines) calibrate, the cost is measured on the others.
        against: other faces to calibrate on and to measure on, instead of `faces`.
        for_cpu: of int8, write PReLU as sums and quantise them too, and activations as unsigned
            bytes: the form that onnxruntime's CPU kernels run fastest.
    Raises:
        KitError: faces that cannot be read or are too few, people that are measured and were
            trained on, or an edge file whose embeddings are not finite; nothing is written.
    """
    run = load_run(run_folder)
    calibration, measured, faceset = (
        edge_faces.halves(faces) if against is None else _apart(against, run_folder)
    )
    proto, _ = export_graph(run.model, OPSET, for_cpu and kind == "int8")
    form = preprocess.input_of_network(run.model)
    path = model.with_suffix(f".{kind}.onnx")
    with files.attributed_to(path), files.scratch(path) as folder:
        part = folder / path.name
        made = (
            _float16(proto)
            if kind == "float16"
            else quantise(proto, preprocess.to_input(calibration, form), part, for_cpu)
        )
        stored = _metadata(model, kind)
        _store(made, stored, part)
        plain, small = load_embedder(model), load_embedder(part)
        tar, protocols = [], {}
        if against is not None and faceset is not None:
            ours, theirs = embed_set(plain, faceset), embed_set(small, faceset)
            cosines = _cosines(ours, theirs, kind)
            protocols = edge_cost.compare_files(ours, theirs, kind, faceset)
            _store(made, stored | card.of_edge(protocols, kind, faceset, run), part)
        else:
            cosines = _cosines(_embed(plain, measured), _embed(small, measured), kind)
            if faceset is not None:
                tar = edge_cost.tar_pairs(plain, small, faceset)
        files.move_into_place(part, path)
    used = len(calibration) if kind == "int8" else 0
    return Edge(
        path,
        path.stat().st_size,
        used,
        len(cosines),
        float(cosines.mean()),
        float(cosines.min()),
        tar,
        protocols,
    )


def _apart(against: Against, run_folder: Path) -> tuple[np.ndarray, np.ndarray, FaceSet | None]:
    """As `edge_faces.halves`, of two sets."""
    if against.val is None:
        given = against.calibrate
        calibration = edge_faces.orl_half(0) if given is None else edge_faces.load_any(given)
        return calibration, edge_faces.orl_half(1), None
    calibrating, val = open_people(against, run_folder)
    assert val is not None  # of `against.val`
    calibration = (
        edge_faces.orl_half(0) if calibrating is None else edge_faces.load(calibrating, CALIBRATED)
    )
    return calibration, calibration[:0], val


def open_people(against: Against, run_folder: Path) -> tuple[FaceSet | None, FaceSet | None]:
    """Open the set that calibrates and the one that is measured, None where there is none: what is
    wrong with them is said before the work.

    Raises:
        KitError: see `edge_faces.measured_people` and `edge_faces.calibrating_people`.
    """
    if against.val is None:
        return None, None
    val = edge_faces.measured_people(against.val, against.val_people, run_folder)
    if against.calibrate is None:
        return None, val
    return edge_faces.calibrating_people(against.calibrate, val), val


def _metadata(model: Path, kind: str) -> dict[str, str]:
    props = onnx.load(str(model)).metadata_props
    return {**without_measurements({item.key: item.value for item in props}), METADATA: kind}


def _store(made: onnx.ModelProto, metadata: dict[str, str], part: Path) -> None:
    helper.set_model_props(made, dict(sorted(metadata.items())))
    part.write_bytes(made.SerializeToString(deterministic=True))


def _embed(embedder: Embedder, faces: np.ndarray) -> np.ndarray:
    """Embed faces a batch at a time: thousands at once would take gigabytes."""
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [embedder.embed(faces[at : at + BATCH]) for at in range(0, len(faces), BATCH)]
    return np.concatenate(parts)


def _cosines(plain: np.ndarray, small: np.ndarray, kind: str) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        cosines = 1 - cosine_difference(plain, small)
    if not np.isfinite(cosines).all():
        raise KitError(
            f"the {kind} file's embeddings are not finite: the network's values leave its "
            "range; nothing was written"
        )
    return cosines


def _float16(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Turn every float32 constant to float16 in place, and cast at the input and the output,
    which stay float32.
    """
    graph = proto.graph
    constants = [
        *graph.initializer,
        *(item.t for node in graph.node if node.op_type == "Constant" for item in node.attribute),
    ]
    for tensor in constants:
        if tensor.data_type == TensorProto.FLOAT:
            # an infinity shows in the embeddings, which are looked at
            with np.errstate(over="ignore"):
                tensor.CopyFrom(
                    numpy_helper.from_array(
                        numpy_helper.to_array(tensor).astype(np.float16), tensor.name
                    )
                )
    given, made = graph.input[0].name, graph.output[0].name
    for node in graph.node:
        node.input[:] = [f"{name}.half" if name == given else name for name in node.input]
        node.output[:] = [f"{name}.half" if name == made else name for name in node.output]
    graph.node.insert(
        0, helper.make_node("Cast", [given], [f"{given}.half"], "cast_in", to=TensorProto.FLOAT16)
    )
    graph.node.append(
        helper.make_node("Cast", [f"{made}.half"], [made], "cast_out", to=TensorProto.FLOAT)
    )
    return proto


def quantise(
    proto: onnx.ModelProto, planes: np.ndarray, scratch: Path, for_cpu: bool = False
) -> onnx.ModelProto:
    """Quantise with signed bytes on both sides (`for_cpu`: unsigned activations, and the sums of
    PReLU too) and weights of seven bits, which saturate on no CPU, with or without VNNI.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Faces(CalibrationDataReader):
        left = iter(planes[:, None])

        def get_next(self) -> dict | None:
            face = next(self.left, None)
            return None if face is None else {INPUT: face}

    with _quiet():
        quantize_static(
            proto,
            str(scratch),
            Faces(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm", *(["Relu", "Mul", "Add"] if for_cpu else [])],
            per_channel=True,
            activation_type=QuantType.QUInt8 if for_cpu else QuantType.QInt8,
            weight_type=QuantType.QInt8,
            # 7 bits of weight: without VNNI the sums of two products of 8 bits saturate in 16
            reduce_range=True,
        )
    return onnx.load(str(scratch))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's advice to optimise the graph first, which `graph.simplify` has
    done.
    """
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
