"""Models of others to be damaged: weights of torch and safetensors, ONNX files with metadata."""

import json
import struct
from pathlib import Path


def make_weights(folder: Path) -> None:
    """Write weights as torch and as safetensors keep them."""
    import torch

    state = {"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3), "h": torch.ones(2).half()}
    torch.save({"epoch": 3, "state_dict": state}, folder / "weights.pth")


def read_weights(folder: Path) -> None:
    """Read them as a model's."""
    from mfr_kit.models import weights_file

    weights_file.read_states(folder / "weights.pth")


def safetensors(folder: Path) -> dict[str, bytes]:
    """Give a safetensors file of three tensors."""
    header = {"__metadata__": {"format": "pt"}}
    header |= {"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    header |= {"n": {"dtype": "I64", "shape": [], "data_offsets": [24, 32]}}
    header |= {"h": {"dtype": "BF16", "shape": [2], "data_offsets": [32, 36]}}
    text = json.dumps(header).encode()
    return {"weights.safetensors": struct.pack("<Q", len(text)) + text + bytes(36)}


def read_safetensors(path: Path, number: int) -> None:
    """Read a file as a model's weights."""
    from mfr_kit.models import weights_file

    weights_file.read_states(path)


def described_models(folder: Path) -> dict[str, bytes]:
    """Give an ONNX file that carries thresholds, people and a lineage."""
    from mfr_kit.models import operating_points, trained_people
    from tests.fuzz_onnx import thinned
    from tests.models import odd_onnx

    point = {"protocol": "nonmask-nonmask", "far": 0.1, "threshold": 0.5, "tar": 0.9}
    point |= {"false_accepts": 3, "genuine": 40, "impostor": 30, "low": None, "high": None}
    points = {"set": {"name": "s", "fingerprint": "ab", "faces": 4, "people": 2}}
    points |= {"mirrored": False, "kit_version": "1", "points": [point]}
    names = [f"p{number}" for number in range(9)]
    groups = trained_people.digested([{"model": "m", "people": 9, "names": names}], "ab" * 16)
    known = {operating_points.META_POINTS: json.dumps(points)}
    known |= trained_people.to_metadata(groups)
    known["mfr_kit.lineage"] = json.dumps({"training_sets": [{"name": "a", "people": 3}]})
    data = odd_onnx.write(folder / "s.onnx", metadata=known).read_bytes()
    (folder / "s.onnx").unlink()
    return {"described.onnx": thinned(data)}


def read_described_model(path: Path, number: int) -> None:
    """Read what a file says of itself."""
    from mfr_kit.models import operating_points, trained_people

    operating_points.operating_points(path)
    trained_people.among(trained_people.groups_of(path), ["p1", "x"])
