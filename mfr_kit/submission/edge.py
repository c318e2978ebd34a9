"""A smaller file for phones and small boards beside `model.onnx`, with what it costs in
accuracy. Challenge servers refuse it.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mfr_kit import assets, files
from mfr_kit.data import images
from mfr_kit.data.alignment import align, detect
from mfr_kit.data.alignment.detection import pick_face
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation.compare import evaluate_set
from mfr_kit.evaluation.inputs.embed import embed_set
from mfr_kit.models import preprocess
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.operating_points import without_measurements
from mfr_kit.models.weights import load_run
from mfr_kit.submission.export import INPUT, cosine_difference, export_graph
from mfr_kit.submission.sources import open_source

OPSET = 13  # the first whose DequantizeLinear takes a scale for each channel
CALIBRATED, MEASURED = 128, 4096  # faces at most
TAKES = (1, 8)  # photographs of each ORL person, where no faces are given
METADATA = preprocess.META_EDGE


@dataclass(frozen=True)
class TarPair:
    """TAR at a FAR under a protocol, of the float32 file and of the edge file, each in [0, 1]."""

    protocol: str
    far: float
    float32: float
    edge: float


@dataclass(frozen=True)
class Edge:
    """An edge file and its cost: cosines to the float32 file over `measured` faces that calibrated
    nothing.

    `tar` is empty where no face set was given, or where it is too small for a claim.
    """

    path: Path
    size_bytes: int
    calibrated: int
    measured: int
    cosine_mean: float
    cosine_lowest: float
    tar: list[TarPair]


def export_edge(run_folder: Path, model: Path, kind: str, faces: Path | None = None) -> Edge:
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
    Raises:
        KitError: faces that cannot be read or are too few, or an edge file whose embeddings are not
            finite; nothing is written.
    """
    calibration, measured, faceset = _halves(faces)
    network = load_run(run_folder).model
    proto, _ = export_graph(network, OPSET)
    form = preprocess.input_of_network(network)
    proto_props = onnx.load(str(model)).metadata_props
    stored = without_measurements({item.key: item.value for item in proto_props})
    path = model.with_suffix(f".{kind}.onnx")
    with (
        files.attributed_to(path),
        tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name[:48]}.") as folder,
    ):
        part = Path(folder) / path.name
        made = (
            _float16(proto)
            if kind == "float16"
            else _int8(proto, preprocess.to_input(calibration, form), part)
        )
        helper.set_model_props(made, dict(sorted({**stored, METADATA: kind}.items())))
        part.write_bytes(made.SerializeToString(deterministic=True))
        plain, small = load_embedder(model), load_embedder(part)
        with np.errstate(over="ignore", invalid="ignore"):
            cosines = 1 - cosine_difference(plain.embed(measured), small.embed(measured))
        if not np.isfinite(cosines).all():
            raise KitError(
                f"the {kind} file's embeddings are not finite: the network's values leave its "
                "range; nothing was written"
            )
        tar = _tar(plain, small, faceset) if faceset is not None else []
        os.replace(part, path)
    used = len(calibration) if kind == "int8" else 0
    return Edge(
        path,
        path.stat().st_size,
        used,
        len(measured),
        float(cosines.mean()),
        float(cosines.min()),
        tar,
    )


def _halves(given: Path | None) -> tuple[np.ndarray, np.ndarray, FaceSet | None]:
    """Faces to calibrate on, faces to measure on, (B, 112, 112, 3) uint8 RGB each, and the face
    set of the latter where there is one.
    """
    if given is None:
        people = sorted(assets.path("orl-faces").iterdir())
        return _orl(people[::2]), _orl(people[1::2]), None
    if given.is_dir():
        open_source(given)  # refuses what is no face set, or an empty one
        whole = FaceSet.open(given)
        if len(whole.people) < 2:
            raise KitError(
                f"{given} shows one person: an edge file is calibrated on some people and "
                "measured on others"
            )
        calibrated, others = (whole.of_people(whole.people[half::2]) for half in (0, 1))
        others = others.select(np.arange(min(len(others), MEASURED)))
        chosen = _spread(len(calibrated), CALIBRATED)
        return (
            np.stack([calibrated.image(row) for row in chosen]),
            np.stack([others.image(i) for i in range(len(others))]),
            others,
        )
    source = open_source(given)
    if len(source.names) < 2:
        raise KitError(
            f"{given} lists one face: an edge file is calibrated on some faces and measured on "
            "others"
        )
    middle = len(source.names) // 2
    calibration = np.stack([source.load(row) for row in _spread(middle, CALIBRATED)])
    return calibration, source.read(middle, middle + MEASURED), None


def _spread(count: int, most: int) -> np.ndarray:
    """At most `most` of `count` rows, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _orl(people: list[Path]) -> np.ndarray:
    """Aligned ORL faces; a photograph in which none is found is left out."""
    detector, found = detect.load_detector(), []
    for photo in [person / f"{take}.pgm" for person in people for take in TAKES]:
        image = images.read_rgb(photo)
        face = pick_face(detector.detect(image), image.shape[:2])
        if face is not None:
            found.append(align.warp(image, align.estimate_similarity(face.landmarks)))
    return np.stack(found)


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


def _int8(proto: onnx.ModelProto, planes: np.ndarray, scratch: Path) -> onnx.ModelProto:
    """Quantise with signed bytes on both sides and weights of seven bits, which saturate on no
    CPU, with or without VNNI.
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
            op_types_to_quantize=["Conv", "Gemm"],
            per_channel=True,
            activation_type=QuantType.QInt8,
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


def _tar(plain, small, faceset: FaceSet) -> list[TarPair]:
    try:
        results = [
            evaluate_set(embed_set(embedder, faceset), faceset) for embedder in (plain, small)
        ]
    except KitError:
        # nobody has two photographs: nothing to compare, and the cosines stand all the same
        return []
    return [
        TarPair(protocol, ours["far"], ours["tar"], theirs["tar"])
        for protocol, result in results[0].items()
        for ours, theirs in zip(
            result["tar_at_far"], results[1][protocol]["tar_at_far"], strict=True
        )
        if ours["tar"] is not None and theirs["tar"] is not None
    ]
