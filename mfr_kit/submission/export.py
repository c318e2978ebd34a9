"""Write a student as the ONNX file a challenge server reads, and prove that it is still the same
function.
"""

import copy
import io
import json
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from mfr_kit import __version__, files, providers
from mfr_kit.errors import KitError
from mfr_kit.models import placement, preprocess, trained_people
from mfr_kit.models.onnx_models import prelu
from mfr_kit.models.onnx_models.runtime import open_session
from mfr_kit.models.parity import centred_difference, colour_faces, cosine_difference
from mfr_kit.models.sanity import ConstantCheck, refuse_broken
from mfr_kit.models.weights import load_run
from mfr_kit.paths import check_output, refuse_other
from mfr_kit.providers import Provider
from mfr_kit.submission import card, graph_passes

IR_VERSION = 6  # what opset 11 came with; every onnxruntime since 1.0 reads it
OPSETS = range(11, 14)  # torch's exporter and onnxruntime 1.6 have these in common
TOLERANCE = 1e-4  # largest cosine difference between torch and the file
INPUT, OUTPUT, BATCH = "input", "embedding", "N"


@dataclass(frozen=True)
class Exported:
    """What an export did: `parity` is the largest cosine difference by name of what was
    compared, `counts` are of `graph_passes.simplify`, `card` is the model card beside the file.
    """

    path: Path
    size_bytes: int
    embedding_size: int
    parity: dict[str, float]
    counts: dict[str, int]
    card: Path | None = None


def export_run(
    run_folder: Path,
    out: Path | None = None,
    opset: int = 11,
    faces: np.ndarray | None = None,
    for_cpu: bool = False,
    device: str = "cpu",
    report: Path | None = None,
) -> Exported:
    """Export the student of a run folder.

    Args:
        run_folder: of `kit.py distill`, or one weights file inside it.
        out: default `model.onnx` in the run folder.
        opset: 11 to 13.
        faces: (B, 112, 112, 3) uint8 RGB to compare on beside the made-up ones.
        for_cpu: see `export_graph`.
        device: see `compare`.
        report: report.json of `kit.py evaluate` on this run: its thresholds go into the file, and
            a `MODEL_CARD.md` beside it.
    Raises:
        KitError: no such run, a network that cannot be written, a device that is not there, a
            report of another model, or a file that disagrees with torch.
    """
    run = load_run(run_folder)
    folder = run.path.parent
    groups = trained_people.digested(trained_people.groups_of_run(folder), run.fingerprint)
    path = out or folder / "model.onnx"
    refuse_other(path, ".onnx", "--out")
    check_output(path, "file", "--out")
    card.check_card(path, report)
    metadata = {
        **trained_people.to_metadata(groups),
        preprocess.META_NORMALISATION: preprocess.input_of_network(run.model).text,
        preprocess.META_LINEAGE: json.dumps(run.lineage, sort_keys=True),
        preprocess.META_FINGERPRINT: run.fingerprint,
        # a run's weights are the backbone's; a projector stays behind in training
        preprocess.META_OUTPUT: "backbone",
        **({} if report is None else card.to_metadata(report, run)),
    }
    done = export_module(run.model, path, metadata, opset, faces, for_cpu, device)
    if report is None:
        return done
    return replace(done, card=card.write_card(path))


def export_own(
    model: nn.Module,
    out: Path | None,
    opset: int = 11,
    faces: np.ndarray | None = None,
    for_cpu: bool = False,
    report: Path | None = None,
) -> Exported:
    """Export a network that no run of ours trained: nothing is known of its lineage.

    Raises:
        KitError: no network, no file named to write, a report (which is of a run), or what
            `export_module` raises.
    """
    if not isinstance(model, nn.Module):
        raise KitError(
            f"a model to export is a run folder or a torch.nn.Module, not {type(model).__name__}"
        )
    if report is not None:
        raise KitError(
            f"report {report}: a report goes with a run folder, whose weights it names; a network "
            "of your own has no fingerprint to compare"
        )
    if out is None:
        raise KitError("out is missing: name the .onnx file to write")
    refuse_other(out, ".onnx", "--out")
    check_output(out, "file", "--out")
    metadata = {preprocess.META_NORMALISATION: preprocess.input_of_network(model).text}
    return export_module(model, out, metadata, opset, faces, for_cpu)


def export_module(
    model: nn.Module,
    path: Path,
    metadata: dict[str, str],
    opset: int = 11,
    faces: np.ndarray | None = None,
    for_cpu: bool = False,
    device: str = "cpu",
) -> Exported:
    """Export a network (B, 3, 112, 112) -> (B, D) as one float32 file with a free batch dimension;
    it takes [-1, 1] unless it says another (`preprocess.mark_input`).

    Args:
        model: put into eval mode here.
        path: written only when the file agrees with torch.
        metadata: stored in the file; version and embedding size are added.
        opset: 11 to 13.
        faces: (B, 112, 112, 3) uint8 RGB to compare on beside the made-up ones.
        for_cpu: see `export_graph`.
        device: see `compare`.
    Raises:
        KitError: opset out of range, not one 2-d output, or a cosine difference above TOLERANCE at
            batch 1, 2 or 32.
    """
    if opset not in OPSETS:
        raise KitError(
            f"--opset {opset}: the challenge's onnxruntime 1.6 and this exporter have "
            f"{OPSETS[0]} to {OPSETS[-1]} in common"
        )
    model.eval()
    proto, counts = export_graph(model, opset, for_cpu)
    size = int(model(torch.zeros(1, 3, 112, 112)).shape[1])
    stored = {
        preprocess.META_VERSION: __version__,
        preprocess.META_EMBEDDING_SIZE: str(size),
        **metadata,
    }
    onnx.helper.set_model_props(proto, dict(sorted(stored.items())))
    onnx.checker.check_model(proto, full_check=True)
    parity = compare(model, proto.SerializeToString(deterministic=True), faces, device)
    worst = max(parity, key=lambda name: np.nan_to_num(parity[name], nan=np.inf))
    if not parity[worst] <= TOLERANCE:  # a NaN fails too
        raise KitError(
            f"the exported file disagrees with torch: "
            f"cosine difference {parity[worst]:.2e} on '{worst}', at most {TOLERANCE:.0e}; "
            "nothing was written"
        )
    write(proto, path)
    return Exported(path, path.stat().st_size, size, parity, counts)


def export_graph(
    model: nn.Module, opset: int, for_cpu: bool = False
) -> tuple[onnx.ModelProto, dict[str, int]]:
    """Trace and simplify a network in eval mode, without comparing or writing it.

    Args:
        model: (B, 3, 112, 112) -> (B, D).
        opset: 11 to 13.
        for_cpu: write PReLU as onnx_models/prelu.py does: fast on a CPU, four kernels instead of
            one on a GPU.
    Returns:
        the model, and `graph_passes.simplify`'s counts.
    """
    proto = _trace(model, opset)
    counts = graph_passes.simplify(proto)
    if for_cpu:
        prelu.split(proto)
    return proto, {**counts, "nodes_after": len(proto.graph.node)}


def compare(
    model: nn.Module,
    onnx_file: Path | bytes,
    faces: np.ndarray | None = None,
    device: str = "cpu",
) -> dict[str, float]:
    """Measure 1 - cosine between torch and its ONNX file, fed what the network says that it takes,
    the largest over the faces of each kind.

    Args:
        model: in eval mode, on the CPU.
        onnx_file: path, or the serialised model.
        faces: (B, 112, 112, 3) uint8 RGB to compare on beside the made-up ones.
        device: a `--device`: where both run; "auto" leaves on the CPU what has no other.
    Returns:
        by name: "batch 1", "batch 2", "batch 32" (colour noise), "batch 32, mean removed", "black",
        "white", and "faces" if any are given.
    Raises:
        KitError: the shapes differ, or the network gives zeros, or one embedding for all faces.
    """
    place = placement.resolve_unless_cpu(device) or torch.device("cpu")
    session = open_session(onnx_file, provider=_provider(device, place))
    network = model if place.type == "cpu" else copy.deepcopy(model).to(place)
    colours = colour_faces(32)
    inputs = {
        "batch 1": colours[:1],
        "batch 2": colours[:2],
        "batch 32": colours,
        "black": np.zeros_like(colours[:1]),
        "white": np.full_like(colours[:1], 255),
    }
    if faces is not None:
        inputs["faces"] = faces
    result, form = {}, preprocess.input_of_network(model)
    for name, batch in inputs.items():
        planes = preprocess.to_tensor(batch, form)
        with torch.inference_mode(), placement.products_in("float32", place.type):
            wanted = network(planes.to(place)).cpu().numpy()
        found = session.run(None, {session.get_inputs()[0].name: planes.numpy()})[0]
        if found.shape != wanted.shape:
            raise KitError(f"{name}: torch gives {wanted.shape}, the exported file {found.shape}")
        result[name] = float(np.max(cosine_difference(wanted, found)))
        if name == "batch 32":
            _look_at(model, batch, wanted)
            result["batch 32, mean removed"] = float(np.max(centred_difference(wanted, found)))
    return result


def _provider(device: str, place: torch.device) -> Provider | None:
    """Where onnxruntime runs a file that is compared; with "auto", only where that can be
    started.
    """
    provider = placement.provider_of(device, place, "float32")
    if provider is None or device != "auto":
        return provider
    return provider if providers.is_offered("cuda") and providers.starts(provider) else None


def _look_at(model: nn.Module, faces: np.ndarray, embeddings: np.ndarray) -> None:
    """Refuse embeddings that are none; say where all are one, as an untrained network's may be."""
    name = f"the network ({type(model).__name__})"
    refuse_broken(name, embeddings, [f"made-up face {row}" for row in range(len(faces))])
    check = ConstantCheck(name)
    try:
        check.see(faces, embeddings)
        check.finish()
    except KitError as constant:
        if not np.ptp(embeddings, axis=0).any():  # to the last bit: a layer has died
            raise
        print(f"warning: {constant}", file=sys.stderr)


def _trace(model: nn.Module, opset: int) -> onnx.ModelProto:
    buffer = io.BytesIO()
    example = torch.zeros(2, 3, 112, 112)
    with torch.inference_mode(), warnings.catch_warnings():
        # torch recommends its newer exporter, which writes opset 18 and external data
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (example,),
            buffer,  # type: ignore[arg-type]  # without dynamo it writes to open files too
            opset_version=opset,
            dynamo=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: BATCH}, OUTPUT: {0: BATCH}},
        )
    proto = onnx.load_from_string(buffer.getvalue())
    proto.ir_version = IR_VERSION
    proto.producer_name, proto.producer_version = "mfr-kit", __version__
    if len(proto.graph.output) != 1:
        raise KitError(
            f"the network has {len(proto.graph.output)} outputs; a recogniser gives one (B, D) "
            "embedding"
        )
    return proto


def write(proto: onnx.ModelProto, path: Path) -> None:
    """Write a model under a temporary name, then rename; folders are made."""
    files.write_bytes(path, proto.SerializeToString(deterministic=True))
