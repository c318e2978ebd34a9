"""Checkpoints of other projects, written out from their sources independently of our classes: the
names and shapes of their tensors, and what their networks compute from them.
"""

import torch
from torch import nn
from torch.nn import functional as F


def random_state(shapes: dict[str, tuple], seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights of these shapes under which activations neither vanish nor grow."""
    torch.manual_seed(seed)
    return {key: _random(key, shape) for key, shape in shapes.items()}


def _random(key: str, shape: tuple) -> torch.Tensor:
    if key.endswith("num_batches_tracked"):
        return torch.tensor(7)
    if key.endswith("running_var"):
        return torch.empty(shape).uniform_(0.5, 1.5)
    if len(shape) > 1:
        return torch.randn(shape) * (2 / torch.Size(shape[1:]).numel()) ** 0.5
    return torch.empty(shape).uniform_(0.2, 1.0) if key.endswith("weight") else torch.randn(shape)


def norm(name: str, size: int, affine: bool = True) -> dict[str, tuple]:
    kinds = ("weight", "bias") if affine else ()
    sizes = {f"{name}.{kind}": (size,) for kind in (*kinds, "running_mean", "running_var")}
    return sizes | {f"{name}.num_batches_tracked": ()}


def apply_norm(state: dict, name: str, x: torch.Tensor, eps: float) -> torch.Tensor:
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    weight, bias = state.get(f"{name}.weight"), state.get(f"{name}.bias")
    return F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)


def ir_shapes(blocks: tuple[int, ...]) -> dict[str, tuple]:
    """AdaFace's net.py, CVLface's models/iresnet/model.py: IR, 112x112."""
    shapes = {"input_layer.0.weight": (64, 3, 3, 3), **norm("input_layer.1", 64)}
    shapes |= {"input_layer.2.weight": (64,)}
    number, before = 0, 64
    for channels, repeats in zip((64, 128, 256, 512), blocks, strict=True):
        for _ in range(repeats):
            at = f"body.{number}"
            if before != channels:
                shapes[f"{at}.shortcut_layer.0.weight"] = (channels, before, 1, 1)
                shapes |= norm(f"{at}.shortcut_layer.1", channels)
            shapes |= norm(f"{at}.res_layer.0", before)
            shapes[f"{at}.res_layer.1.weight"] = (channels, before, 3, 3)
            shapes |= norm(f"{at}.res_layer.2", channels)
            shapes[f"{at}.res_layer.3.weight"] = (channels,)
            shapes[f"{at}.res_layer.4.weight"] = (channels, channels, 3, 3)
            shapes |= norm(f"{at}.res_layer.5", channels)
            number, before = number + 1, channels
    shapes |= norm("output_layer.0", 512) | {"output_layer.3.weight": (512, 512 * 49)}
    return shapes | {"output_layer.3.bias": (512,)} | norm("output_layer.4", 512, affine=False)


def ir_forward(state: dict, x: torch.Tensor, blocks: tuple[int, ...]) -> torch.Tensor:
    def bn(name: str, y: torch.Tensor) -> torch.Tensor:
        return apply_norm(state, name, y, 1e-5)

    x = F.conv2d(x, state["input_layer.0.weight"], padding=1)
    x = F.prelu(bn("input_layer.1", x), state["input_layer.2.weight"])
    firsts = {sum(blocks[:stage]) for stage in range(4)}
    for number in range(sum(blocks)):
        at, stride = f"body.{number}", 2 if number in firsts else 1
        y = F.conv2d(bn(f"{at}.res_layer.0", x), state[f"{at}.res_layer.1.weight"], padding=1)
        y = F.prelu(bn(f"{at}.res_layer.2", y), state[f"{at}.res_layer.3.weight"])
        y = F.conv2d(y, state[f"{at}.res_layer.4.weight"], stride=stride, padding=1)
        short = x[:, :, ::stride, ::stride]
        if f"{at}.shortcut_layer.0.weight" in state:
            short = bn(
                f"{at}.shortcut_layer.1", F.conv2d(short, state[f"{at}.shortcut_layer.0.weight"])
            )
        x = bn(f"{at}.res_layer.5", y) + short
    x = bn("output_layer.0", x).flatten(1)
    x = F.linear(x, state["output_layer.3.weight"], state["output_layer.3.bias"])
    return bn("output_layer.4", x)


def vit_shapes(
    channels: int, depth: int, patch: int = 9, expansion: int = 4, size: int = 512
) -> dict[str, tuple]:
    """arcface_torch's backbones/vit.py, which LVFace and CVLface's models/vit share."""
    tokens = (112 // patch) ** 2
    shapes = {"pos_embed": (1, tokens, channels), "mask_token": (1, 1, channels)}
    shapes |= {"patch_embed.proj.weight": (channels, 3, patch, patch)}
    shapes |= {"patch_embed.proj.bias": (channels,)}
    wide = channels * expansion
    for number in range(depth):
        sizes = {
            "norm1": (channels,),
            "attn.qkv": (3 * channels, channels),
            "attn.proj": (channels, channels),
            "norm2": (channels,),
            "mlp.fc1": (wide, channels),
            "mlp.fc2": (channels, wide),
        }
        for name, shape in sizes.items():
            shapes[f"blocks.{number}.{name}.weight"] = shape
            if name != "attn.qkv":
                shapes[f"blocks.{number}.{name}.bias"] = shape[:1]
    shapes |= {"norm.weight": (channels,), "norm.bias": (channels,)}
    shapes |= {"feature.0.weight": (channels, channels * tokens)} | norm("feature.1", channels)
    return shapes | {"feature.2.weight": (size, channels)} | norm("feature.3", size)


def vit_forward(state: dict, x: torch.Tensor, heads: int) -> torch.Tensor:
    def linear(name: str, y: torch.Tensor) -> torch.Tensor:
        return F.linear(y, state[f"{name}.weight"], state.get(f"{name}.bias"))

    def layer_norm(name: str, y: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(y, y.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    kernel = state["patch_embed.proj.weight"]
    x = F.conv2d(x, kernel, state["patch_embed.proj.bias"], stride=kernel.shape[-1])
    x = x.flatten(2).transpose(1, 2) + state["pos_embed"]
    batch, tokens, channels = x.shape
    depth = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
    for at in (f"blocks.{number}" for number in range(depth)):
        rows = linear(f"{at}.attn.qkv", layer_norm(f"{at}.norm1", x))
        split = rows.reshape(batch, tokens, 3, heads, channels // heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*split)
        x = x + linear(f"{at}.attn.proj", mixed.transpose(1, 2).reshape(batch, tokens, channels))
        y = F.relu6(linear(f"{at}.mlp.fc1", layer_norm(f"{at}.norm2", x)))
        x = x + linear(f"{at}.mlp.fc2", y)
    x = linear("feature.0", layer_norm("norm", x).flatten(1))
    x = linear("feature.2", apply_norm(state, "feature.1", x, 2e-5))
    return apply_norm(state, "feature.3", x, 2e-5)


def iresnet_forward(state: dict, x: torch.Tensor, blocks: tuple[int, ...], eps: float):
    """MagFace's and arcface_torch's iresnet.py; they differ in `eps`."""

    def bn(name: str, y: torch.Tensor) -> torch.Tensor:
        return apply_norm(state, name, y, eps)

    x = F.prelu(bn("bn1", F.conv2d(x, state["conv1.weight"], padding=1)), state["prelu.weight"])
    for stage, repeats in enumerate(blocks, start=1):
        for block in range(repeats):
            at, stride = f"layer{stage}.{block}", 1 if block else 2
            y = F.conv2d(bn(f"{at}.bn1", x), state[f"{at}.conv1.weight"], padding=1)
            y = F.prelu(bn(f"{at}.bn2", y), state[f"{at}.prelu.weight"])
            y = F.conv2d(y, state[f"{at}.conv2.weight"], stride=stride, padding=1)
            if not block:
                short = F.conv2d(x, state[f"{at}.downsample.0.weight"], stride=stride)
                x = bn(f"{at}.downsample.1", short)
            x = bn(f"{at}.bn3", y) + x
    x = F.linear(bn("bn2", x).flatten(1), state["fc.weight"], state["fc.bias"])
    return bn("features", x)


class MbfOnPaper(nn.Module):
    """arcface_torch's mbf: channels 128 and 256 between its blocks, the depthwise convolution of
    the stem in 64 groups; torch itself names the tensors by their places.
    """

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                _named(_conv(3, 128, 3, 2)),
                _named(_conv(128, 128, 3, 1, 64)),
                _bottleneck(128, 128, 128, 2),
                _residual(128, 128, 4),
                _bottleneck(128, 256, 256, 2),
                _residual(256, 256, 6),
                _bottleneck(256, 256, 512, 2),
                _residual(256, 256, 2),
            ]
        )
        self.conv_sep = _named(_conv(256, 512, 1))
        self.features = _named(
            [
                _named(_conv(512, 512, 7, 1, 512, padding=0)[:2]),
                nn.Flatten(),
                nn.Linear(512, 512, bias=False),
                nn.BatchNorm1d(512),
            ]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layers[1].layers(self.layers[0].layers(x))
        for down, residual in zip(self.layers[2::2], self.layers[3::2], strict=True):
            x = _run(down, x)
            for block in residual.layers:
                x = x + _run(block, x)
        x = self.conv_sep.layers(x)
        for layer in self.features.layers:
            x = layer.layers(x) if hasattr(layer, "layers") else layer(x)
        return x


def _run(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    for part in block.layers:
        x = part.layers(x)
    return x


def _named(layers: list[nn.Module]) -> nn.Module:
    holder = nn.Module()
    holder.layers = nn.Sequential(*layers)
    return holder


def _conv(before, after, kernel, stride=1, groups=1, padding=None) -> list[nn.Module]:
    around = kernel // 2 if padding is None else padding
    conv = nn.Conv2d(before, after, kernel, stride, around, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(after), nn.PReLU(after)]


def _bottleneck(before: int, after: int, middle: int, stride: int) -> nn.Module:
    return _named(
        [
            _named(_conv(before, middle, 1)),
            _named(_conv(middle, middle, 3, stride, middle)),
            _named(_conv(middle, after, 1)[:2]),
        ]
    )


def _residual(channels: int, middle: int, repeats: int) -> nn.Module:
    return _named([_bottleneck(channels, channels, middle, 1) for _ in range(repeats)])
