"""One process or several (torchrun): who am I, and one batch out of everybody's, with gradients."""

import os
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from mfr_kit.models import memory, placement


@dataclass(frozen=True)
class Ranks:
    """This process's place among `world`; everything is the identity for a world of one."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait for all ranks, on the CPU: no device spins while one of them works."""
        if self.world > 1:
            dist.all_reduce(torch.zeros(1))

    def gather(self, embeddings: Tensor) -> Tensor:
        """Join (B, D) embeddings of all ranks into (world * B, D).

        Every rank then computes the loss of the whole batch. The backward pass adds up what all
        ranks want of a rank's rows, which is `world` times the gradient of that one loss;
        DistributedDataParallel divides by `world` again. So a method that compares samples, or
        divides by the number of active relations, gives what one rank with the joined batch gives.
        """
        if self.world == 1:
            return embeddings
        from torch.distributed.nn.functional import all_gather

        return torch.cat(all_gather(embeddings.contiguous()))

    def gather_numbers(self, numbers: np.ndarray) -> np.ndarray:
        """Join (B, n) int64 of all ranks into (world * B, n)."""
        if self.world == 1:
            return numbers
        parts = [torch.empty(numbers.shape, dtype=torch.int64) for _ in range(self.world)]
        dist.all_gather(parts, torch.from_numpy(numbers))
        return torch.cat(parts).numpy()


def start(
    name: str, timeout_min: float, precision: str, threads: int = 0
) -> tuple[torch.device, Ranks]:
    """Take this process's device and CPU threads, say how exact its products are, keep freed memory
    for the next step, and join the other ranks.

    Args:
        name: `--device`.
        timeout_min: see `join`.
        precision: "tf32" lets CUDA round the inputs of float32 products.
        threads: of torch on the CPU, 0 for all.
    Raises:
        KitError: the device is not there.
    """
    if threads:
        torch.set_num_threads(threads)
    memory.keep_freed()
    device = placement.resolve(name)
    placement.set_tf32(precision == "tf32")
    return device, join(device, timeout_min)


def join(device: torch.device, timeout_min: float = 30.0) -> Ranks:
    """Join the process group that torchrun announces in the environment, or stay alone.

    Args:
        device: of this rank, from `placement.resolve`; a CUDA device becomes the current one, and
            NCCL carries what lies on it. What lies on the CPU goes by gloo.
        timeout_min: minutes after which a collective that not all ranks have reached is an error.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Ranks()
    if not dist.is_initialized():
        on_cuda = device.type == "cuda"
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_cuda else "gloo",
            timeout=timedelta(minutes=timeout_min),
            device_id=device if on_cuda else None,
        )
    return Ranks(dist.get_rank(), world)
