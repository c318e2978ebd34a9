"""Small recognisers as other people's ONNX files, for tests of students that come from one."""

import io
import warnings

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from mfr_kit.seeding import rng_for

SIZE = 12  # of their embeddings


def values(*shape: int, seed: int = 1) -> np.ndarray:
    return rng_for(seed, *shape).standard_normal(shape).astype(np.float32) / np.sqrt(
        np.prod(shape[1:]) or 1
    ).astype(np.float32)


def conv_net(batch: int | str = "N", tail: str = "Reshape", size: int = SIZE) -> onnx.ModelProto:
    """Pixels prepared inside, a convolution with a batch norm and a PRelu, a grouped one whose
    norm was folded, squeeze and excitation, a pooling, and a product; constants with and without
    names of their own.
    """
    weights = {
        "mean": np.full((1, 3, 1, 1), 0.1, np.float32),
        "stem.weight": values(8, 3, 5, 5),
        "stem.norm.weight": np.abs(values(8)) + 0.5,
        "stem.norm.bias": values(8, seed=2),
        "stem.norm.running_mean": values(8, seed=3),
        "stem.norm.running_var": np.abs(values(8, seed=4)) + 0.5,
        "stem.slope": np.full((8, 1, 1), 0.2, np.float32),
        "onnx::Conv_17": values(8, 2, 3, 3),
        "onnx::Conv_18": values(8, seed=5),
        "se.weight": values(8, 8, 1, 1, seed=6),
        "head.weight": values(size, 8 * 7 * 7),
        "head.bias": values(size, seed=7),
    }
    shape = np.array([1 if batch == 1 else -1, 8 * 7 * 7], np.int64)
    node = helper.make_node
    rows = (
        node("Reshape", ["pooled", "shape"], ["rows"])
        if tail == "Reshape"
        else node("Flatten", ["pooled"], ["rows"])
    )
    nodes = [
        node("Sub", ["x", "mean"], ["centred"]),
        node("Conv", ["centred", "stem.weight"], ["0"], strides=[4, 4], pads=[2, 2, 2, 2]),
        node("BatchNormalization", ["0", *list(weights)[2:6]], ["1"], epsilon=1e-4),
        node("PRelu", ["1", "stem.slope"], ["2"]),
        node("Conv", ["2", *list(weights)[7:9]], ["3"], "/body/body.0/Conv", group=4, pads=[1] * 4),
        node("Sigmoid", ["3"], ["4"]),
        node("Mul", ["3", "4"], ["5"]),
        node("GlobalAveragePool", ["5"], ["6"]),
        node("Conv", ["6", "se.weight"], ["7"]),
        node("HardSigmoid", ["7"], ["8"]),
        node("Mul", ["5", "8"], ["9"]),
        node("AveragePool", ["9"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
        rows,
        node("Gemm", ["rows", "head.weight", "head.bias"], ["y"], transB=1),
    ]
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    constants.append(numpy_helper.from_array(shape, "shape"))
    graph = helper.make_graph(
        nodes,
        "recogniser",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 112, 112])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, size])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


class Attention(nn.Module):
    """A small vision transformer with a class token, as torch exports it."""

    def __init__(self, width: int = 16, heads: int = 2):
        super().__init__()
        self.heads = heads
        self.patches = nn.Conv2d(3, width, 28, 28)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, 17, width))
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.head = nn.Linear(width, SIZE)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        count = faces.shape[0]
        x = self.patches(faces).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(count, -1, -1), x], 1) + self.places
        b, n, d = x.shape
        parts = self.qkv(self.first(x)).reshape(b, n, 3, self.heads, d // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) / (d // self.heads) ** 0.5).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(b, n, d))
        x = x + self.narrow(nn.functional.gelu(self.wide(self.second(x))))
        return self.head(x[:, 0])


def attention_net(fixed: bool, opset: int = 14) -> onnx.ModelProto:
    """`Attention` with random weights, with a batch of one or a free one."""
    torch.manual_seed(3)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Attention().eval(),
            (torch.zeros(1 if fixed else 2, 3, 112, 112),),
            file,
            opset_version=opset,
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes=None if fixed else {"x": {0: "N"}, "y": {0: "N"}},
        )
    return onnx.load_from_string(file.getvalue())
