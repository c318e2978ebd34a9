"""Correctness of ONNX recognisers on a device, for benchmarks/gpu.py."""

from pathlib import Path

import numpy as np
import torch

from benchmarks.gpu_made_up import network
from mfr_kit import providers
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.onnx_models.converted_embedder import PARITY, ConvertedEmbedder
from mfr_kit.models.parity import colour_faces, cosine_difference
from mfr_kit.submission import export

# of the kit's own exports
NETWORKS = {"iresnet50": 1.0, "mobilefacenet": 1.0, "mobilenetv2": 1.0, "sface": 1.0}
SMALL = {"mobilefacenet": 0.125}  # where both sides are the CPU
LOWEST = 0.99  # cosine of bf16, of untrained networks, to float32
COUNT = 32  # faces


def same_converted(device: torch.device, folder: Path) -> dict:
    """The kit's exports as torch networks on the device, against onnxruntime on the CPU; and what
    tf32 and bf16 cost.
    """
    on_cuda, found, faces = device.type == "cuda", {}, colour_faces(COUNT)
    for name, width in (NETWORKS if on_cuda else SMALL).items():
        path = folder / f"{name}.onnx"
        export.write(export.export_graph(network(name, 128, width), export.OPSETS[0])[0], path)
        source = load_embedder(f"{path}:minus1_to_1")
        exact = ConvertedEmbedder(source, device)
        there = exact.embed(faces)
        found[name] = {"float32": _worst(source.embed(faces), there)}
        for precision in ("tf32", "bf16") if on_cuda else ("bf16",):
            rounded = ConvertedEmbedder(source, device, precision)
            found[name][precision] = _worst(there, rounded.embed(faces))
    good = all(
        one["float32"] <= PARITY and max(one.values()) <= 1 - LOWEST for one in found.values()
    )
    return {"ok": good, "one_minus_cosine": found}


def same_onnxruntime(device: torch.device, folder: Path) -> dict:
    """The same by onnxruntime on the device, where its CUDA provider is installed; elsewhere that
    asking for it is refused by name.
    """
    path, faces = folder / "m.onnx", colour_faces(COUNT)
    export.write(export.export_graph(network("mobilefacenet", 64), export.OPSETS[0])[0], path)
    source = load_embedder(f"{path}:minus1_to_1")
    if device.type == "cuda" and providers.is_offered("cuda"):
        there = source.moved(providers.Provider("cuda", device.index or 0))
        both = there.begin(faces, mirrored=True)()
        wanted = np.concatenate([source.embed(faces), source.embed(faces[:, :, ::-1])])
        worst = _worst(wanted, both)
        return {"ok": worst <= PARITY, "provider": there.device, "one_minus_cosine": worst}
    try:
        source.moved(providers.Provider())
    except Exception as error:  # noqa: BLE001  what it is, is looked at
        return {"ok": providers.EXTRA in str(error), "provider": None, "refused": str(error)}
    return {"ok": False, "provider": "ran, and is not on offer"}


def _worst(one: np.ndarray, other: np.ndarray) -> float:
    return float(cosine_difference(one, other).max())
