"""SFace: a MobileNetV1 with PReLU and a full-map linear layer, with the OpenCV Zoo's weights on
request.

Source: Zhong et al., *SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition*
    (IEEE TIP 2021);
the architecture is read off the published graph.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from mfr_kit.errors import KitError

EMBEDDING_SIZE = 128
# (width, stride)
BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)
# the graph computes (x - 127.5) / 128 from raw pixels, our networks take (x - 127.5) / 127.5
GRAPH_SCALE = 127.5 / 128
# the Zoo's own float32 file; ours, derived from the quantised one
SUFFIXES = ("", "_reshaped", "_dequantized")
BATCH_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_var",
}


class SFace(nn.Module):
    """(B, 3, 112, 112) float in [-1, 1] -> (B, D) raw embeddings."""

    def __init__(self, embedding_size: int = EMBEDDING_SIZE, width: float = 1.0):
        super().__init__()
        wide = [max(8, round(32 * width))] + [max(8, round(out * width)) for out, _ in BLOCKS]
        self.conv_1 = _conv(3, wide[0], kernel=3)
        for number, (_, stride) in enumerate(BLOCKS, start=2):
            before, after = wide[number - 2 : number]
            self.add_module(
                f"conv_{number}_dw", _conv(before, before, kernel=3, stride=stride, groups=before)
            )
            self.add_module(f"conv_{number}", _conv(before, after, kernel=1))
        self.bn1 = nn.BatchNorm2d(wide[-1], eps=2e-5)
        self.pre_fc1 = nn.Linear(wide[-1] * 7 * 7, embedding_size)
        self.fc1 = nn.BatchNorm1d(embedding_size, eps=2e-5)

    def forward(self, faces: Tensor) -> Tensor:
        x = self.conv_1(faces)
        for number in range(2, len(BLOCKS) + 2):
            x = self.get_submodule(f"conv_{number}")(self.get_submodule(f"conv_{number}_dw")(x))
        return self.fc1(self.pre_fc1(torch.flatten(self.bn1(x), 1)))


def build(embedding_size: int = EMBEDDING_SIZE, width: float = 1.0) -> nn.Module:
    """Make an SFace with random weights."""
    return SFace(embedding_size, width)


def state_from_onnx(path: Path) -> dict[str, Tensor]:
    """Read the float32 ONNX of SFace into our names, its pixel scale folded into the first
    convolution.

    The graph's `Sub 127.5` needs no counterpart (our input is centred already); its `Mul 1/128`
    becomes a factor 127.5/128.

    Raises:
        KitError: a tensor is missing, that is, the file is another model or the quantised one.
    """
    import onnx
    from onnx import numpy_helper

    stored = {tensor.name: tensor for tensor in onnx.load(str(path)).graph.initializer}

    def read(name: str, key: str) -> Tensor:
        found = next(
            (stored[name + suffix] for suffix in SUFFIXES if name + suffix in stored), None
        )
        if found is None:
            raise KitError(
                f"{path} is not the float32 SFace: it has no tensor '{name}' (wanted for {key}). "
                "Use the asset 'sface'."
            )
        return torch.from_numpy(numpy_helper.to_array(found).copy())

    state = {}
    for key, value in SFace().state_dict().items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.zeros_like(value)
        else:
            state[key] = read(_onnx_name(key), key).reshape(value.shape)
    state["conv_1.0.weight"] *= GRAPH_SCALE
    return state


def _onnx_name(key: str) -> str:
    parts = key.split(".")
    if len(parts) == 2:  # bn1, fc1: batch norms; pre_fc1: linear
        return "_".join((parts[0], parts[1] if parts[0] == "pre_fc1" else BATCH_NORM[parts[1]]))
    block, layer, kind = parts
    if layer == "0":
        return f"{block}_conv2d_weight"
    return f"{block}_batchnorm_{BATCH_NORM[kind]}" if layer == "1" else f"{block}_relu_gamma"


def _conv(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after, eps=1e-3),
        nn.PReLU(after),
    )
