"""Files for runtimes other than onnxruntime, each proved by RUNNING it beside torch: OpenVINO's IR
and LiteRT's flatbuffer.

Core ML is refused: coremltools converts on Linux, but runs its files on macOS alone, so that nobody
here could say whether such a file is still the same function.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mfr_kit import files
from mfr_kit.errors import KitError
from mfr_kit.models import preprocess
from mfr_kit.models.parity import colour_faces, cosine_difference
from mfr_kit.models.weights import load_run
from mfr_kit.submission.export import TOLERANCE

OPENVINO, TFLITE, COREML = "openvino", "tflite", "coreml"
NEEDS = {OPENVINO: ("openvino", "openvino"), TFLITE: ("litert_torch", "tflite")}  # module, extra
Run = Callable[[np.ndarray], np.ndarray]  # (1, 3, 112, 112) planes -> (1, D)


@dataclass(frozen=True)
class Converted:
    """A file for another runtime: `parity` is the largest cosine difference to torch over colour
    faces, black and white.
    """

    paths: list[Path]
    parity: float


def require(target: str) -> None:
    """Refuse, before the work, a runtime whose converter is not here.

    Raises:
        KitError: it is not installed, or its files cannot be run here.
    """
    if target == COREML:
        raise KitError(
            "--runs-on coreml: coremltools converts here, but runs its files on macOS alone: "
            "whether they are the same function cannot be measured, so none is written. Convert "
            "model.onnx's run on a Mac and compare it there"
        )
    module, extra = NEEDS[target]
    try:
        importlib.import_module(module)
    except ImportError:
        raise KitError(
            f"--runs-on {target} needs a converter: pip install 'mfr-kit[{extra}]'"
        ) from None


def convert(run_folder: Path, model: Path, target: str) -> Converted:
    """Write a run's student for another runtime beside its `model.onnx`, when it agrees with
    torch.

    Args:
        run_folder: of `kit.py distill`, or one weights file inside it.
        model: its float32 ONNX file; `model.xml` and `model.bin`, or `model.tflite`, come beside.
        target: "openvino" (any batch) or "tflite" (one face a call).
    Raises:
        KitError: see `require`; or a file that disagrees with torch: nothing is written.
    """
    require(target)
    network = load_run(run_folder).model.eval()
    with files.scratch(model) as folder:
        part = folder / model.stem
        made, run = (_openvino if target == OPENVINO else _tflite)(network, model, part)
        parity = compare(network, run)
        if not parity <= TOLERANCE:  # a NaN fails too
            raise KitError(
                f"the {target} file disagrees with torch: cosine difference {parity:.2e}, at most "
                f"{TOLERANCE:.0e}; nothing was written"
            )
        paths = [model.with_suffix(path.suffix) for path in made]
        for path, target_path in zip(made, paths, strict=True):
            files.write_bytes(target_path, path.read_bytes())
    return Converted(paths, parity)


def compare(network: nn.Module, run: Run) -> float:
    """Measure 1 - cosine between torch and a file that is run, the largest of 34 faces, each fed
    alone.
    """
    colours = colour_faces(32)
    faces = np.concatenate([colours, np.zeros_like(colours[:1]), np.full_like(colours[:1], 255)])
    planes = preprocess.to_tensor(faces)
    with torch.inference_mode():
        wanted = network(planes).numpy()
    found = np.concatenate([run(face[None]) for face in planes.numpy()])
    return float(np.max(cosine_difference(wanted, found)))


def _openvino(network: nn.Module, model: Path, part: Path) -> tuple[list[Path], Run]:
    import openvino

    core = openvino.Core()
    path = part.with_suffix(".xml")
    # float32 as it is; the default halves the weights
    openvino.save_model(core.read_model(str(model)), str(path), compress_to_fp16=False)
    return [path, part.with_suffix(".bin")], open_openvino(path)


def open_openvino(path: Path, threads: int = 0) -> Run:
    """Open an OpenVINO file on the CPU in float32; threads 0 for its own choice."""
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        options["INFERENCE_NUM_THREADS"] = str(threads)
    compiled = openvino.Core().compile_model(str(path), "CPU", options)
    return lambda planes: np.array(compiled(planes)[0])


def _tflite(network: nn.Module, model: Path, part: Path) -> tuple[list[Path], Run]:
    import litert_torch

    path = part.with_suffix(".tflite")
    litert_torch.convert(network, (torch.zeros(1, 3, 112, 112),)).export(str(path))
    return [path], open_tflite(path)


def open_tflite(path: Path, threads: int = 1) -> Run:
    """Open a LiteRT file, which takes one face a call."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(planes: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(given["index"], planes)
        interpreter.invoke()
        return interpreter.get_tensor(made["index"])

    return run
