"""What a backbone costs, counted without running it."""

from dataclasses import dataclass

import torch

from mfr_kit.models.weights import build_backbone


@dataclass(frozen=True)
class Cost:
    """Of one 112x112 face: `flops` counts a multiply-add of a convolution or matrix product as
    two; `size_mib` is float32 weights.
    """

    parameters: int
    flops: int
    size_mib: float
    embedding_size: int


def cost_of(name: str, embedding_size: int | None = None, width: float = 1.0) -> Cost:
    """Count a backbone's parameters, FLOPs and bytes (buffers included) on torch's meta device,
    where nothing is allocated.

    Raises:
        KitError: no such backbone, or a width or size it cannot have.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = build_backbone(name, embedding_size, width).eval()
        embeddings = model(torch.empty(1, 3, 112, 112))
    size = sum(
        tensor.numel() * 4 for tensor in model.state_dict().values() if tensor.is_floating_point()
    )
    return Cost(
        sum(p.numel() for p in model.parameters()),
        counter.get_total_flops(),
        size / 2**20,
        embeddings.shape[1],
    )
