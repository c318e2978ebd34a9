"""The organisers' checker once more, straight from the description of its rules: it shares no
code with mfr_kit.submission.
"""

import os
import time

import numpy as np
import onnx
import onnxruntime

WIDTHS = {"ms1m": 512, "glint": 1024, "cfat": 512, "unconstrained": 1024}


def judge(folder, track="ms1m", time_limit_ms=None):  # noqa: C901, PLR0911, PLR0912  rule after rule, blunt on purpose
    """Return None where a folder's model is accepted, else the complaint."""
    if not os.path.isdir(folder):
        return "no folder"
    files = sorted(name for name in os.listdir(folder) if name.endswith(".onnx"))
    if not files:
        return "no onnx file"
    path = os.path.join(folder, files[-1])
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001
        return "load failed"
    shape = session.get_inputs()[0].shape
    if len(shape) != 4:
        return "input is not 4-d"
    if not isinstance(shape[0], str):
        model = onnx.load(path)
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "None"
        path = os.path.join(folder, "zzzzrefined.onnx")
        onnx.save(model, path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        shape = session.get_inputs()[0].shape
    if len(session.get_outputs()) != 1:
        return "not one output"
    graph = onnx.load(path).graph
    if len(graph.node) < 8:
        return "too small"
    if [shape[3], shape[2]] != [112, 112]:
        return "input size"
    if os.path.getsize(path) / 1024 / 1024 > 1024:
        return "file size"
    mean, std = pixel_norm(graph)
    for tensor in graph.initializer:
        if onnx.numpy_helper.to_array(tensor).dtype.itemsize < 4:
            return "weight type"
    pixels = np.random.default_rng(5).integers(0, 255, (1, 3, 112, 112)).astype(np.float32)
    blob = (pixels - mean) / std
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name
    costs = []
    for _ in range(50):
        before = time.perf_counter()
        found = session.run([output], {name: blob})[0]
        costs.append(time.perf_counter() - before)
    if time_limit_ms is not None and sorted(costs)[5] * 1000 > time_limit_ms:
        return "time"
    try:
        many = session.run([output], {name: np.repeat(blob, 32, axis=0)})[0]
    except Exception:  # noqa: BLE001
        return "batch of 32"
    if not np.isfinite(many.sum()):
        return "sum is not finite"
    if found.ndim != 2 or found.shape[1] > WIDTHS[track]:
        return "output"
    return None


def pixel_norm(graph):
    """What is subtracted and divided by, as guessed from the first eight node names."""
    first = [node.name for node in graph.node][:8]
    minus = [name for name in first if name[:3] == "Sub" or name[:6] == "_minus"]
    times = [name for name in first if name[:3] == "Mul" or name[:4] == "_mul" or name[:3] == "Div"]
    return (0.0, 1.0) if minus and times else (127.5, 127.5)
