"""The files a recogniser is deployed as, side by side on this CPU: `python benchmarks/deploy.py
[--repeats N] [--backbone NAME] [--width W]`.

Random weights, one thread, one face a call (and 16), in turns within one run: the float32 file of
`export-onnx --runs-on cpu` is the yardstick; int8 calibrated on faces that the kit draws, OpenVINO
and LiteRT where they are installed. The ratio is how many times as fast as float32 each is. Nothing
is promised: how much a form gains belongs to the CPU.
"""

import argparse
import statistics
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import onnx
import onnxruntime
import torch

from mfr_kit.models import preprocess
from mfr_kit.models.parity import colour_faces
from mfr_kit.models.weights import build_backbone
from mfr_kit.submission import edge, targets
from mfr_kit.submission.export import INPUT, export_graph


def float32(model, folder):
    return onnx_runner(export_graph(model, 11, for_cpu=True)[0])


def int8(model, folder):
    proto, _ = export_graph(model, edge.OPSET)
    planes = preprocess.to_input(colour_faces(16), "minus1_to_1")
    return onnx_runner(edge.quantise(proto, planes, folder / "int8.onnx"))


def int8_for_cpu(model, folder):
    proto, _ = export_graph(model, edge.OPSET, for_cpu=True)
    planes = preprocess.to_input(colour_faces(16), "minus1_to_1")
    return onnx_runner(edge.quantise(proto, planes, folder / "int8_for_cpu.onnx", for_cpu=True))


def openvino(model, folder):
    path = folder / "openvino.onnx"
    path.write_bytes(export_graph(model, 11)[0].SerializeToString())
    return targets.open_openvino(path, threads=1)


def tflite(model, folder):
    run = targets._tflite(model, folder, folder / "litert")[1]
    return lambda planes: [run(face[None]) for face in planes]


def onnx_runner(proto: onnx.ModelProto):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda planes: session.run(None, {INPUT: planes})


FORMS = {"float32": float32, "int8": int8, "int8 --runs-on cpu": int8_for_cpu}
FORMS |= {"openvino": openvino, "tflite": tflite}


def timed(run, planes) -> float:
    start = time.perf_counter()
    run(planes)
    return (time.perf_counter() - start) * 1000 / len(planes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--backbone", default="mobilefacenet")
    parser.add_argument("--width", type=float, default=1.0)
    given = parser.parse_args()
    torch.manual_seed(0)
    model = build_backbone(given.backbone, width=given.width).eval()
    runners = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, make in FORMS.items():
            if find_spec(targets.NEEDS.get(name, ("onnxruntime", ""))[0]) is None:
                print(f"{name}: not installed")
                continue
            runners[name] = make(model, Path(folder))
    for batch in (1, 16):
        planes = np.random.default_rng(0).uniform(-1, 1, (batch, 3, 112, 112)).astype(np.float32)
        rows = [
            {name: timed(run, planes) for name, run in runners.items()}
            for _ in range(given.repeats + 1)
        ][1:]
        for name in runners:
            ratio = statistics.median(row["float32"] / row[name] for row in rows)
            time_ms = statistics.median(row[name] for row in rows)
            print(
                f"{given.backbone} {given.width:g}, batch {batch}, {name}: "
                f"{time_ms:.2f} ms a face, {ratio:.2f} x float32"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
