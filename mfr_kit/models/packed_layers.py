"""The int8 linear layers that torch's dynamic quantisation writes into a state dict, as the float32
layers that they stand for.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from mfr_kit.errors import KitError

# under it stands (weight, bias or None); beside it, of the layer, what its result would be rounded
# to if it were quantised too, which dynamic quantisation does not
PACKED = "._packed_params._packed_params"
BESIDE = ("._packed_params.dtype", ".scale", ".zero_point")


def unpack(state: Mapping[Any, Any], where: str) -> dict[Any, Any]:
    """Write every packed linear layer as `weight` (outputs, inputs) and `bias` (outputs,), float32;
    other entries stay as they are.

    Args:
        state: a state dict.
        where: the file, for complaints.
    Raises:
        KitError: a packed layer that holds no weight and bias; names it.
    """
    layers = [
        key.removesuffix(PACKED) for key in state if isinstance(key, str) and key.endswith(PACKED)
    ]
    dropped = {layer + ending for layer in layers for ending in (PACKED, *BESIDE)}
    plain = {key: value for key, value in state.items() if key not in dropped}
    for layer in layers:
        weight, bias = _pair(state[layer + PACKED], f"{where}: '{layer}'")
        plain[f"{layer}.weight"] = weight.dequantize() if weight.is_quantized else weight
        if bias is not None:
            plain[f"{layer}.bias"] = bias
    return plain


def _pair(content: Any, what: str) -> tuple[Tensor, Tensor | None]:
    match content:
        case (Tensor() as weight, Tensor() | None as bias):
            return weight, bias
    raise KitError(f"{what} is a packed int8 layer without a weight and a bias")


@contextmanager
def quiet_reading() -> Iterator[None]:
    """Keep back what torch says to its own programmers where a file holds quantised tensors."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*TypedStorage is deprecated", UserWarning)
        warnings.filterwarnings("ignore", ".*quantized tensor creation", UserWarning)
        yield
