"""EdgeFace a second time: its published names and shapes written out, and its function in NumPy."""

import math

import numpy as np
import torch

# EdgeNeXt (arXiv 2206.10589), table 1, and EdgeFace (arXiv 2307.01838), table 1
BLOCKS = {"xxs": (2, 2, 6, 2), "xs": (3, 3, 9, 3), "xs_dense": (3, 3, 9, 3), "s": (3, 3, 9, 3)}
CHANNELS = {
    "xxs": (24, 48, 88, 168),
    "xs": (32, 64, 100, 192),
    "xs_dense": (32, 64, 100, 192),
    "s": (48, 96, 160, 304),
}
RANK = {"xs": 0.6, "s": 0.5}
HEADS = {"s": 8}
SIZE = 512


class Layout(dict):
    """Names and shapes, by layers; of rank `rank` where linear layers are products."""

    def __init__(self, rank: float | None):
        super().__init__()
        self.rank = rank

    def affine(self, name: str, size: int) -> None:
        self[f"{name}.weight"] = self[f"{name}.bias"] = (size,)

    def conv(self, name: str, *sizes: int) -> None:
        self[f"{name}.weight"], self[f"{name}.bias"] = sizes, (sizes[0],)

    def linear(self, name: str, before: int, after: int) -> None:
        if self.rank is None:
            self.conv(name, after, before)
        else:
            middle = int(min(before, after) * self.rank)
            self[f"{name}.linear1.weight"] = (middle, before)
            self.conv(f"{name}.linear2", after, middle)

    def attention(self, at: str, stage: int, size: int, heads: int) -> None:
        self[f"{at}.gamma_xca"] = (size,)
        scales = (2, 2, 3, 4)[stage]
        for number in range(scales - 1):
            self.conv(f"{at}.convs.{number}", -(-size // scales), 1, 3, 3)
        if stage == 1:
            self.conv(f"{at}.pos_embd.token_projection", size, 64, 1, 1)
        self.affine(f"{at}.norm_xca", size)
        self[f"{at}.xca.temperature"] = (heads, 1, 1)
        self.linear(f"{at}.xca.qkv", size, 3 * size)
        self.linear(f"{at}.xca.proj", size, size)


def published_shapes(kind: str) -> dict[str, tuple]:
    """Names and shapes of a published state dict."""
    found, wide = Layout(RANK.get(kind)), CHANNELS[kind]
    found.conv("stem.0", wide[0], 3, 4, 4)
    found.affine("stem.1", wide[0])
    for stage, size in enumerate(wide):
        if stage:
            found.affine(f"stages.{stage}.downsample.0", wide[stage - 1])
            found.conv(f"stages.{stage}.downsample.1", size, wide[stage - 1], 2, 2)
        count = BLOCKS[kind][stage]
        for number in range(count):
            at = f"stages.{stage}.blocks.{number}"
            found[f"{at}.gamma"] = (size,)
            if stage and number == count - 1:
                found.attention(at, stage, size, HEADS.get(kind, 4))
            else:
                found.conv(f"{at}.conv_dw", size, 1, 3 + 2 * stage, 3 + 2 * stage)
            found.affine(f"{at}.norm", size)
            found.linear(f"{at}.mlp.fc1", size, 4 * size)
            found.linear(f"{at}.mlp.fc2", 4 * size, size)
    found.affine("head.norm", wide[-1])
    found.linear("head.fc", wide[-1], SIZE)
    return dict(found)


def random_state(kind: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights in the published layout under which every part of the network tells on the result."""
    rng = np.random.default_rng(seed)
    state = {}
    for key, shape in published_shapes(kind).items():
        if len(shape) in (2, 4):
            values = rng.normal(0, 1 / math.sqrt(np.prod(shape[1:])), shape)
        else:
            values = rng.normal(0, 0.1, shape) if "bias" in key else rng.uniform(0.3, 1, shape)
        state[key] = torch.from_numpy(values).float()
    return state


class Paper:
    """The forward pass over a state dict, in float64, with positions (B, H, W) before channels."""

    def __init__(self, state: dict[str, torch.Tensor]):
        self.state = {key: value.double().numpy() for key, value in state.items()}

    def __call__(self, planes: np.ndarray) -> np.ndarray:
        """(B, 3, 112, 112) -> (B, D)."""
        x = self._patches("stem.0", planes.astype(np.float64).transpose(0, 2, 3, 1))
        x = self._norm("stem.1", x)
        for stage in range(4):
            at = f"stages.{stage}"
            if stage:
                x = self._norm(f"{at}.downsample.0", x)
                x = self._patches(f"{at}.downsample.1", x)
            block = 0
            while f"{at}.blocks.{block}.gamma" in self.state:
                name = f"{at}.blocks.{block}"
                attends = f"{name}.gamma_xca" in self.state
                x = x + (self._attend(name, x) if attends else self._convolve(name, x))
                block += 1
        return self._linear("head.fc", self._norm("head.norm", x.mean(axis=(1, 2))))

    def _convolve(self, at, x):
        return self._mlp(at, self._depthwise(f"{at}.conv_dw", x))

    def _mlp(self, at, x):
        y = self._linear(f"{at}.mlp.fc1", self._norm(f"{at}.norm", x))
        gelu = y * 0.5 * (1 + torch.special.erf(torch.from_numpy(y / math.sqrt(2))).numpy())
        return self.state[f"{at}.gamma"] * self._linear(f"{at}.mlp.fc2", gelu)

    def _attend(self, at, x):
        batch, height, width, channels = x.shape
        piece, number, filtered, start = len(self.state[f"{at}.convs.0.bias"]), 0, [], 0
        while f"{at}.convs.{number}.bias" in self.state:
            y = x[..., start : start + piece] + (filtered[-1] if filtered else 0)
            filtered.append(self._depthwise(f"{at}.convs.{number}", y))
            number, start = number + 1, start + piece
        y = np.concatenate([*filtered, x[..., start:]], axis=3)
        if f"{at}.pos_embd.token_projection.bias" in self.state:
            y = y + self._positions(f"{at}.pos_embd.token_projection", height, width)
        y = y.reshape(batch, -1, channels)
        rows = self._linear(f"{at}.xca.qkv", self._norm(f"{at}.norm_xca", y))
        out = np.zeros_like(y)
        size = channels // len(self.state[f"{at}.xca.temperature"])
        for head, heat in enumerate(self.state[f"{at}.xca.temperature"].ravel()):
            of_head = slice(head * size, (head + 1) * size)
            query, key, value = (
                rows[..., third * channels :][..., of_head] for third in range(3)
            )  # each (B, N, C / heads): a column is a channel at all positions
            query = query / np.linalg.norm(query, axis=1, keepdims=True)
            key = key / np.linalg.norm(key, axis=1, keepdims=True)
            weight = np.exp(heat * np.einsum("bnc,bnd->bcd", query, key))
            weight /= weight.sum(axis=2, keepdims=True)
            out[..., of_head] = np.einsum("bcd,bnd->bnc", weight, value)
        y = y + self.state[f"{at}.gamma_xca"] * self._linear(f"{at}.xca.proj", out)
        return self._mlp(at, y.reshape(batch, height, width, channels))

    def _positions(self, name, height, width):
        waves = np.zeros((height, width, 64))
        for row in range(height):
            for column in range(width):
                for number in range(32):
                    period = 10000 ** (2 * (number // 2) / 32)
                    wave = math.cos if number % 2 else math.sin
                    ends = (row + 1) / (height + 1e-6), (column + 1) / (width + 1e-6)
                    waves[row, column, number] = wave(2 * math.pi * ends[0] / period)
                    waves[row, column, 32 + number] = wave(2 * math.pi * ends[1] / period)
        return waves @ self.state[f"{name}.weight"][:, :, 0, 0].T + self.state[f"{name}.bias"]

    def _linear(self, name, x):
        if f"{name}.linear1.weight" in self.state:
            x = x @ self.state[f"{name}.linear1.weight"].T
            name = f"{name}.linear2"
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def _norm(self, name, x):
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6)
        return x * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]

    def _patches(self, name, x):
        weight = self.state[f"{name}.weight"]  # (after, before, side, side), stride = side
        side, (batch, height, width, _) = weight.shape[2], x.shape
        rows, columns = height // side, width // side
        x = x[:, : rows * side, : columns * side].reshape(batch, rows, side, columns, side, -1)
        return np.tensordot(x, weight, ([5, 2, 4], [1, 2, 3])) + self.state[f"{name}.bias"]

    def _depthwise(self, name, x):
        weight = self.state[f"{name}.weight"][:, 0]
        side, (_, height, width, _) = weight.shape[1], x.shape
        edge = side // 2
        padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
        total = np.zeros_like(x) + self.state[f"{name}.bias"]
        for down in range(side):
            for right in range(side):
                shifted = padded[:, down : down + height, right : right + width]
                total += shifted * weight[:, down, right]
        return total
